/** The server's time as well as this browser knows it, for what is asked outside of any page. */

let offsetMs = 0

/** Takes what must be added to the browser's clock; the event stream measures it. */
export function setServerOffset(ms: number): void {
  offsetMs = ms
}

export function serverNow(): number {
  return Date.now() + offsetMs
}
