/** Starts the console. */

import './ui/tokens.css'
import './ui/mantine.css'

import { MantineProvider } from '@mantine/core'
import { MutationCache, QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'

import { Problem, whenSessionReplaced, whenSignedOut } from './api/client'
import { Live } from './api/live'
import { keys } from './api/queries'
import { consoleRouter } from './routes'
import { LiveContext } from './ui/clock'
import { tell } from './ui/notice'
import { theme } from './ui/theme'

/** A refusal stays one; what did not answer at all is asked this often again. */
const RETRIES_MAX = 2

const queryClient = new QueryClient({
  mutationCache: new MutationCache({
    // A form shows its own refusal; a command from a menu has no other place for it.
    onError: (error, _input, _result, mutation) => {
      if (mutation.meta?.['hasNoForm'] === true) {
        tell(error instanceof Problem ? error.words() : error.message)
      }
    },
  }),
  defaultOptions: {
    queries: {
      // Events make queries old; a page that is opened asks for what is older than this anew.
      staleTime: 30_000,
      retry: (failures, error) =>
        error instanceof Problem && error.status === 0 && failures < RETRIES_MAX,
    },
  },
})

const live = new Live(queryClient)
const router = consoleRouter(queryClient, live)

whenSignedOut(() => {
  // The next person at this screen is not shown what the last one was allowed to see.
  queryClient.clear()
  queryClient.setQueryData(keys.session, null)
  void router.invalidate()
})

whenSessionReplaced(() => {
  void queryClient.invalidateQueries({ queryKey: keys.session })
})

/**
 * A page from before an upgrade asks for files that are gone: load the new one, but never in a
 * loop.
 */
const RELOADED_AT = 'faultline-reloaded-at'
const RELOAD_PAUSE_MS = 30_000
window.addEventListener('vite:preloadError', (event) => {
  const before = Number(sessionStorage.getItem(RELOADED_AT) ?? 0)
  if (Date.now() - before < RELOAD_PAUSE_MS) return
  event.preventDefault()
  sessionStorage.setItem(RELOADED_AT, String(Date.now()))
  location.reload()
})

const root = document.getElementById('root')
if (root === null) throw new Error('index.html has no #root')
createRoot(root).render(
  <StrictMode>
    <MantineProvider theme={theme} defaultColorScheme="auto">
      <QueryClientProvider client={queryClient}>
        <LiveContext value={live}>
          <RouterProvider router={router} />
        </LiveContext>
      </QueryClientProvider>
    </MantineProvider>
  </StrictMode>,
)
