/** The system's generator, drawn in bulk: 16 bytes at a time would cost more than sealing what they blind. */
import { randomFillSync } from 'node:crypto'
import type { Random } from '../book/payload.ts'

const DRAWN_AT_ONCE = 8192

export function systemRandom(): Random {
  const pool = Buffer.allocUnsafeSlow(DRAWN_AT_ONCE)
  let at = DRAWN_AT_ONCE
  return (length) => {
    if (length > DRAWN_AT_ONCE / 4) return randomFillSync(Buffer.allocUnsafe(length))
    if (at + length > DRAWN_AT_ONCE) {
      randomFillSync(pool)
      at = 0
    }
    // A copy: the pool is written over at the next draw.
    const bytes = Buffer.from(pool.subarray(at, at + length))
    pool.fill(0, at, at + length)
    at += length
    return bytes
  }
}
