/** The end of a connection: what is said goes out, what still comes is dropped, and nobody can draw it out. */
import type { Socket } from 'node:net'

/** A peer that does not read, or does not close its end, is cut off after this. */
export const LINGER_MS = 5000

/** Reads and drops until the peer closes: with bytes unread, the system would reset what was said last. */
export function linger(socket: Socket): void {
  socket.removeAllListeners('data')
  socket.on('data', () => {})
  // A reset is told again by 'close'; unheard, it would end the process.
  socket.on('error', () => {})
  socket.resume()
  const timer = setTimeout(() => socket.destroy(), LINGER_MS)
  timer.unref()
  socket.once('close', () => clearTimeout(timer))
}
