/**
 * The one place that talks to the server: typed by the generated paths, errors as `Problem`.
 *
 * It keeps no state but the CSRF token of the session, which every write carries.
 */

import createClient, { type Middleware } from 'openapi-fetch'

import type { components, paths } from './generated'

type ProblemBody = components['schemas']['Problem']

/** Says what the server refused, or that it did not answer (`status` 0). */
export class Problem extends Error {
  readonly status: number
  readonly code: string
  readonly requestId: string | null
  readonly fields: readonly { field: string; reason: string }[]

  constructor(status: number, body: Partial<ProblemBody> | undefined, fallback: string) {
    super(body?.detail ?? body?.title ?? fallback)
    this.name = 'Problem'
    this.status = status
    this.code = body?.code ?? 'no_answer'
    this.requestId = body?.request_id ?? null
    this.fields = body?.errors ?? []
  }

  /** Says why in plain words; refused fields that are told at their place are not said again. */
  words(atPlace: readonly string[] = []): string {
    if (this.fields.length === 0) return this.message
    const isToldAtPlace = (field: string) =>
      atPlace.some((name) => field === name || field.startsWith(`${name}.`))
    const rest = this.fields.filter(({ field }) => !isToldAtPlace(field))
    if (rest.length === 0) return 'Nothing was saved: see what is marked above.'
    return rest.map(({ field, reason }) => `${field}: ${reason}`).join('; ')
  }

  /** Returns the reason given for one field of a form. */
  reasonFor(field: string): string | undefined {
    return this.fields.find((error) => error.field === field)?.reason
  }
}

let csrfToken = ''

export function setCsrfToken(token: string): void {
  csrfToken = token
}

/** Called when the server says that nobody is signed in any more. */
let onSignedOut: () => void = () => undefined

export function whenSignedOut(listener: () => void): void {
  onSignedOut = listener
}

/** Called when a write carried the token of a session that another tab has replaced. */
let onSessionReplaced: () => void = () => undefined

export function whenSessionReplaced(listener: () => void): void {
  onSessionReplaced = listener
}

const SIGN_IN = '/api/v1/session'

const guard: Middleware = {
  onRequest({ request }) {
    if (request.method !== 'GET') request.headers.set('x-csrf-token', csrfToken)
    return request
  },
  onResponse({ response, schemaPath }) {
    if (response.status === 401 && schemaPath !== SIGN_IN) onSignedOut()
  },
}

export const api = createClient<paths>({ baseUrl: '/', credentials: 'same-origin' })
api.use(guard)

interface Answer<T> {
  data?: T
  error?: unknown
  response: Response
}

/** As [`sent`], of a route that has tables of text as well: without a format it answers in JSON. */
export async function sentJson<T>(answer: Promise<Answer<T>>): Promise<Exclude<T, string>> {
  const got = await sent(answer)
  if (typeof got === 'string') throw new Problem(0, undefined, 'the server answered with a text')
  return got as Exclude<T, string>
}

/** Unwraps an answer: its data, or a thrown [`Problem`]. */
export async function sent<T>(answer: Promise<Answer<T>>): Promise<T> {
  let got: Answer<T>
  try {
    got = await answer
  } catch (cause) {
    if (cause instanceof DOMException && cause.name === 'AbortError') throw cause
    throw new Problem(0, undefined, 'the server does not answer')
  }
  if (!got.response.ok) {
    const body: Partial<ProblemBody> | undefined =
      typeof got.error === 'object' && got.error !== null ? got.error : undefined
    if (body?.code === 'bad_csrf_token') {
      onSessionReplaced()
      const detail = 'you signed in anew in another tab: nothing was changed, press it again'
      throw new Problem(got.response.status, { ...body, detail }, detail)
    }
    throw new Problem(got.response.status, body, `the server answered ${got.response.status}`)
  }
  return got.data as T
}
