/**
 * Turns the text of a history into columns, off the main thread: years of it are megabytes of
 * JSON, and a page that reads them must not stand still meanwhile.
 */

import { type Tracks, readTracks } from '../domain/history'
import type { Answer, Question } from './columnsWorker'

interface Waiting {
  resolve: (tracks: Tracks) => void
  reject: (error: Error) => void
}

const waiting = new Map<number, Waiting>()
let worker: Worker | null = null
let lastId = 0

function open(): Worker {
  const opened = new Worker(new URL('./columnsWorker.ts', import.meta.url), { type: 'module' })
  opened.onmessage = ({ data }: MessageEvent<Answer>) => {
    const one = waiting.get(data.id)
    waiting.delete(data.id)
    if ('got' in data) one?.resolve(data.got)
    else one?.reject(new Error(data.failed))
  }
  opened.onerror = () => {
    // It could not be loaded, as after an upgrade: the next question opens a new one.
    for (const one of waiting.values()) one.reject(new Error('the history cannot be read'))
    waiting.clear()
    worker = null
  }
  return opened
}

/** Reads an answer of the server; the buffer is gone afterwards. */
export function readColumns(body: ArrayBuffer): Promise<Tracks> {
  if (typeof Worker === 'undefined') return Promise.resolve(readTracks(body))
  worker ??= open()
  lastId += 1
  const question: Question = { id: lastId, body }
  const answer = new Promise<Tracks>((resolve, reject) => {
    waiting.set(question.id, { resolve, reject })
  })
  worker.postMessage(question, [body])
  return answer
}
