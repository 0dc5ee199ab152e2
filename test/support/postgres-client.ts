import { concat } from '../../protocols/bytes.ts'
import type { Random } from './fuzz.ts'
import { bytes, front as f } from './postgres-messages.ts'

const NAMES: readonly [string, ...string[]] = ['', '', 's', 'x']
const PORTALS: readonly [string, ...string[]] = ['', '', '', 'p']

/** A client that pipelines as it likes, and sends COPY data behind what may be a COPY. */
export class RandomClient {
  readonly #random: Random
  readonly #texts: readonly [string, ...string[]]
  #count = 0

  constructor(r: Random, texts: readonly [string, ...string[]]) {
    this.#random = r
    this.#texts = texts
  }

  next(): Uint8Array {
    return concat(Array.from({ length: 1 + this.#random.below(6) }, () => this.#message()))
  }

  /** A comment makes each text a different one, so that it is known again. */
  #text(): string {
    const r = this.#random
    const text = r.chance(0.15) ? `${r.pick(this.#texts)}; ${r.pick(this.#texts)}` : r.pick(this.#texts)
    return text.startsWith('select') && !text.includes(';') ? `${text} /* ${this.#count++} */` : text
  }

  #message(): Uint8Array {
    const r = this.#random
    switch (r.below(9)) {
      case 0:
        return this.#withData(f.query(r.chance(0.05) ? '' : this.#text()))
      case 1:
      case 2:
        return f.parse(r.pick(NAMES), this.#text())
      case 3:
      case 4:
        return f.bind(r.pick(PORTALS), r.pick(NAMES))
      case 5:
        return this.#withData(f.execute(r.pick(PORTALS), r.chance(0.3) ? 2 : 0))
      case 6:
        return r.chance(0.5)
          ? f.describe(r.pick(['S', 'P']), r.pick(NAMES))
          : f.close(r.pick(['S', 'P']), r.pick(NAMES))
      case 7:
        return r.chance(0.9) ? f.sync : f.flush
      default:
        return bytes(f.bind('', r.pick(NAMES)), this.#withData(f.execute()), f.sync)
    }
  }

  /** Whatever was executed may be a COPY, so the data follows at once; else the server ignores it. */
  #withData(message: Uint8Array): Uint8Array {
    const r = this.#random
    const parts = [message]
    for (let i = r.below(3); i > 0; i--)
      parts.push(r.chance(0.2) ? f.sync : f.copyData(r.chance(0.2) ? 'bad' : '1'))
    // As many ends as the text may have COPYs.
    parts.push(r.chance(0.8) ? f.copyDone : f.copyFail('no'), f.copyDone)
    // Behind a Sync inside the data a client sends another behind them; without it nobody knows what is skipped.
    if (parts.includes(f.sync)) parts.push(f.sync)
    return concat(parts)
  }
}
