/**
 * Random conversations, held through a gateway and compared with what the server says of them. Where one of them
 * shows something, it is made smaller for as long as the same is shown, and told with its seed.
 */
import { describe, expect, test } from 'vitest'
import type { Random } from '../support/fuzz.ts'

/** `tame`: the server answers it in the same way each time, byte for byte. */
export type Temper = 'tame' | 'wild'

/** What makes them, holds them and judges them, for one protocol. `C` is a conversation, `H` one that was held. */
export interface Stage<C, H> {
  make(seed: number, temper: Temper): C
  /** For whoever has to repeat it. */
  describe(conversation: C): string
  hold(conversation: C, temper: Temper): Promise<H>
  /** What is wrong with each; those with which nothing is are left out. */
  judge(held: readonly H[]): Promise<Map<C, string[]>>
  /** Throws when the book as a whole does not hold, or has sessions open that should have ended. */
  verify(): void
}

const isSoak = process.env['GATEBOOK_SOAK'] === '1'
/** Another run has other conversations; GATEBOOK_SEED repeats one. */
const SEED = Number(process.env['GATEBOOK_SEED'] ?? Date.now() % 1_000_000_000)
/** GATEBOOK_SESSIONS bounds a soak. */
const SESSIONS = isSoak ? Number(process.env['GATEBOOK_SESSIONS'] ?? 6000) : 240
const COUNTS: Readonly<Record<Temper, number>> = {
  wild: Math.ceil((SESSIONS * 2) / 3),
  tame: Math.ceil(SESSIONS / 3),
}
const AT_ONCE = 8
const BATCH = 80
const SHRINKING_MS_MAX = 30_000

export function holdRandomConversations<C extends { readonly actions: readonly unknown[] }, H>(
  stage: Stage<C, H>,
): void {
  describe('random conversations', () => {
    test.each(['tame', 'wild'] as const)(
      '%s: the book and the server’s log say the same',
      async (temper) => {
        const count = COUNTS[temper]
        for (let at = 0; at < count; at += BATCH) {
          const seeds = Array.from({ length: Math.min(BATCH, count - at) }, (_, i) => SEED + at + i)
          const conversations = seeds.map((seed) => stage.make(seed, temper))
          const findings = await stage.judge(await holdAll(stage, conversations, temper))
          for (const [conversation, found] of findings)
            expect.fail(await complaint(stage, conversation, found, temper))
        }
        stage.verify()
      },
      isSoak ? 4 * 3600_000 : 120_000,
    )
  })
}

async function holdAll<C, H>(
  stage: Stage<C, H>,
  conversations: readonly C[],
  temper: Temper,
): Promise<readonly H[]> {
  const held: H[] = []
  const left = [...conversations]
  const work = async (): Promise<void> => {
    for (let next = left.shift(); next !== undefined; next = left.shift())
      held.push(await stage.hold(next, temper))
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return held
}

async function complaint<C extends { readonly actions: readonly unknown[] }, H>(
  stage: Stage<C, H>,
  conversation: C,
  found: readonly string[],
  temper: Temper,
): Promise<string> {
  const judgeOne = async (one: C): Promise<readonly string[] | undefined> =>
    (await stage.judge([await stage.hold(one, temper)])).get(one)
  const until = Date.now() + SHRINKING_MS_MAX
  let [smallest, told] = [conversation, found]
  for (let size = smallest.actions.length >> 1; size >= 1 && Date.now() < until; ) {
    let shrunk = false
    for (let at = 1; at < smallest.actions.length && Date.now() < until; at += size) {
      const actions = [...smallest.actions.slice(0, at), ...smallest.actions.slice(at + size)]
      const smaller = { ...smallest, actions }
      const again = await judgeOne(smaller)
      if (again === undefined || kindOf(again) !== kindOf(found)) continue
      ;[smallest, told] = [smaller, again]
      shrunk = true
      break
    }
    if (!shrunk) size >>= 1
  }
  return [`GATEBOOK_SEED=${SEED}: ${temper}, ${stage.describe(smallest)}`, ...told].join('\n')
}

/** What is found, whatever it is found of: to tell a finding from another that comes of what was left out. */
function kindOf(found: readonly string[]): string {
  return (found[0] ?? '').replace(/\d+/g, '').slice(0, 30)
}

/** How the bytes of a conversation go out: `bytes` one by one. */
export type Cut = 'whole' | 'bytes' | 'anywhere'

const PIECE_BYTES_MAX = 200

export async function sendCut(
  raw: { send(bytes: Uint8Array): void },
  bytes: Uint8Array,
  cut: Cut,
  dice: Random,
): Promise<void> {
  const pieces = { whole: bytes.length, bytes: 1, anywhere: Math.min(PIECE_BYTES_MAX, bytes.length) }
  for (let at = 0; at < bytes.length; ) {
    const length = cut === 'anywhere' ? 1 + dice.below(pieces.anywhere) : pieces[cut]
    raw.send(bytes.subarray(at, at + length))
    at += length
    // So that the system sends it by itself.
    if (cut !== 'whole' && at < bytes.length) await new Promise<void>((done) => setImmediate(done))
  }
}

/** One action a line, as far as it can be read. */
export function describeActions(actions: readonly Readonly<Record<string, unknown>>[]): string[] {
  return actions.map(({ type, what, bytes, ...more }) => {
    if (!(bytes instanceof Uint8Array)) return JSON.stringify({ type, ...more })
    const shown = Buffer.from(bytes)
      .toString('latin1')
      .replace(/[^ -~]/g, '.')
    return `${String(what).padEnd(9)} ${shown}`
  })
}

/** Where the client's bytes are others than without a gateway; nothing where they are the same. */
export function differenceOf(through: Buffer, direct: Buffer): string[] {
  if (through.equals(direct)) return []
  const found = through.findIndex((byte, i) => byte !== direct[i])
  const at = found === -1 ? through.length : found
  const around = (bytes: Buffer): string =>
    JSON.stringify(bytes.toString('latin1', Math.max(0, at - 80), at + 160))
  return [`at ${at} the client gets ${around(through)} instead of ${around(direct)}`]
}
