/** Random cases from a seed, for as long as the environment says. A failure names the seed of its case. */
export interface Random {
  /** An integer from 0 up to and without `below`. */
  readonly below: (below: number) => number
  readonly chance: (probability: number) => boolean
  readonly pick: <T>(from: readonly [T, ...T[]]) => T
  readonly bytes: (length: number) => Uint8Array
}

/** Mulberry32: small, and the same everywhere. */
export function random(seed: number): Random {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = state
    t = Math.imul(t ^ (t >>> 15), t | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (limit: number): number => Math.floor(next() * limit)
  return {
    below,
    chance: (probability) => next() < probability,
    pick: (from) => from[below(from.length)] ?? from[0],
    bytes: (length) => Uint8Array.from({ length }, () => below(256)),
  }
}

/** GATEBOOK_FUZZ_SECONDS: for each fuzz test, 5 by default. GATEBOOK_FUZZ_SEED: where to begin, to see a failure again. */
const SECONDS = Number(process.env['GATEBOOK_FUZZ_SECONDS'] ?? '5')
const SEED = Number(process.env['GATEBOOK_FUZZ_SEED'] ?? '1')

export const FUZZ_TIMEOUT_MS = SECONDS * 1000 + 30_000

/** Runs cases until the time is over, at least `least` of them; gives how many. */
export function fuzz(oneCase: (r: Random) => void, least = 50): number {
  const end = performance.now() + SECONDS * 1000
  let count = 0
  for (let seed = SEED; count < least || performance.now() < end; seed++, count++) {
    try {
      oneCase(random(seed))
    } catch (cause) {
      throw new Error(`GATEBOOK_FUZZ_SEED=${seed}: ${cause instanceof Error ? cause.message : cause}`, {
        cause,
      })
    }
  }
  return count
}

/** Some bytes changed, removed, doubled or put in; where messages end is not respected. */
export function mutate(r: Random, bytes: Uint8Array): Uint8Array {
  let found = bytes.slice()
  for (let times = 1 + r.below(3); times > 0; times--) {
    const at = r.below(found.length + 1)
    const length = r.below(8)
    const [before, behind] = [found.subarray(0, at), found.subarray(Math.min(found.length, at + length))]
    switch (r.below(4)) {
      case 0:
        if (at < found.length) found[at] = r.pick([0, 1, 3, 4, 0x7f, 0x80, 0xff, r.below(256)])
        break
      case 1:
        found = new Uint8Array(Buffer.concat([before, behind]))
        break
      case 2:
        found = new Uint8Array(Buffer.concat([before, found.subarray(at, at + length), found.subarray(at)]))
        break
      default:
        found = new Uint8Array(Buffer.concat([before, r.bytes(length), found.subarray(at)]))
    }
  }
  return found
}

/** Cut at random places. */
export function scatter(r: Random, bytes: Uint8Array): Uint8Array[] {
  const chunks: Uint8Array[] = []
  for (let at = 0; at < bytes.length; ) {
    const length = 1 + r.below(r.chance(0.3) ? 4 : 200)
    chunks.push(bytes.slice(at, at + length))
    at += length
  }
  return chunks
}
