/** Reads histories for the page that asks; see `columns.ts`. It keeps nothing. */

import { type Track, type Tracks, readTracks } from '../domain/history'

/** What is asked, and what is said; the number says to which question. */
export interface Question {
  id: number
  body: ArrayBuffer
}
export type Answer = { id: number } & ({ got: Tracks } | { failed: string })

/** The scope of a worker, as far as it is used here. */
interface WorkerScope {
  onmessage: ((event: MessageEvent<Question>) => void) | null
  postMessage: (answer: Answer, moved: Transferable[]) => void
}

const scope = globalThis as unknown as WorkerScope

/** The memory of a track's columns, which moves to the page instead of being copied. */
function buffers(track: Track): ArrayBuffer[] {
  return Object.values(track)
    .filter((value) => ArrayBuffer.isView(value))
    .map((view) => (view as Uint8Array<ArrayBuffer>).buffer)
}

scope.onmessage = ({ data: { id, body } }) => {
  try {
    const got = readTracks(body)
    scope.postMessage({ id, got }, got.tracks.flatMap(buffers))
  } catch (error) {
    const failed = error instanceof Error ? error.message : String(error)
    scope.postMessage({ id, failed: `the history cannot be read: ${failed}` }, [])
  }
}
