/**
 * Wall-clock time in microseconds since 1970. The fine part is the monotonic clock's; once a second it is set
 * against the wall clock, which an administrator or NTP may move.
 */
const SET_EVERY_MS = 1000

let offsetMs = Date.now() - performance.now()
let setAt = performance.now()

export function microseconds(): number {
  const at = performance.now()
  if (at - setAt >= SET_EVERY_MS) {
    const offset = Date.now() - at
    // Date.now() is cut to the millisecond: a smaller difference says nothing.
    if (Math.abs(offset - offsetMs) >= 2) offsetMs = offset
    setAt = at
  }
  return Math.round((offsetMs + at) * 1000)
}
