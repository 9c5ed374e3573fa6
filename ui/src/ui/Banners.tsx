/** What stands above every page when it is not to be trusted, or when a command was refused. */

import { notifyManager, useQueryClient } from '@tanstack/react-query'
import { useCallback, useSyncExternalStore } from 'react'

import { duration } from '../domain/units'
import css from './Banners.module.css'
import { Icon } from './Icon'
import { Words } from './Words'
import { useLive, useNow, useTimeText } from './clock'
import { tell, useNotice } from './notice'

export function Banners() {
  const { status } = useLive()
  return (
    <div className={css.banners}>
      {status === 'stale' ? <StaleBanner /> : <FailedBanner />}
      <NoticeBanner />
    </div>
  )
}

/** A stale page looks stale at once: a wall must never show an old green as a new one. */
function StaleBanner() {
  const { heardAt, offsetMs } = useLive()
  const now = useNow()
  const { text } = useTimeText()
  const client = useQueryClient()
  const heard = heardAt + offsetMs
  return (
    <div role="alert" className={css.stale}>
      <Icon name="warning" />
      <span>
        <strong>Not live.</strong> Nothing heard from the server for {duration(now - heard)}. What
        stands here is from {text(heard, 'time')} and may be wrong now.
      </span>
      <button type="button" onClick={() => void client.invalidateQueries()}>
        Try now
      </button>
    </div>
  )
}

/** The stream is alive, yet something shown could not be read anew: it is as old as it was. */
function FailedBanner() {
  const { offsetMs } = useLive()
  const { text } = useTimeText()
  const client = useQueryClient()
  const failed = useFailedRefetch()
  if (failed === null) return null
  return (
    <div role="alert" className={css.stale}>
      <Icon name="warning" />
      <span>
        <strong>Partly old.</strong> What stands here is from{' '}
        {text(failed.readAt + offsetMs, 'time')}: <Words text={failed.message} />.
      </span>
      <button type="button" onClick={() => void client.invalidateQueries()}>
        Try now
      </button>
    </div>
  )
}

/** Returns the oldest of the answers on this page that could not be read anew. */
function useFailedRefetch(): { readAt: number; message: string } | null {
  const cache = useQueryClient().getQueryCache()
  const subscribe = useCallback(
    (listener: () => void) => cache.subscribe(notifyManager.batchCalls(listener)),
    [cache],
  )
  const oldest = () => {
    const failed = cache
      .findAll({ type: 'active' })
      .filter(({ state }) => state.status === 'error' && state.data !== undefined)
    return failed.sort((a, b) => a.state.dataUpdatedAt - b.state.dataUpdatedAt)[0]?.state
  }
  const state = useSyncExternalStore(subscribe, oldest)
  return state?.error ? { readAt: state.dataUpdatedAt, message: state.error.message } : null
}

function NoticeBanner() {
  const notice = useNotice()
  if (notice === null) return null
  return (
    <div role="alert" className={css.notice}>
      <Icon name="warning" />
      <span>
        <strong>Not done.</strong> <Words text={notice} />
      </span>
      <button
        type="button"
        onClick={() => {
          tell(null)
        }}
      >
        Dismiss
      </button>
    </div>
  )
}
