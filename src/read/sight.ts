/** What one asker may see of one row: the same answer for rows, records, recordings and exports. */
import { globMatches } from '../config/selectors.ts'
import { type Asker, NoAnswer } from './questions.ts'
import type { Targets } from './rights.ts'

export interface Whose {
  readonly sub?: string | undefined
  readonly target?: string | undefined
}

export class Sight {
  readonly #asker: Asker

  constructor(asker: Asker) {
    this.#asker = asker
  }

  metadata(whose: Whose): boolean {
    const { metadata, content, replay } = this.#asker.rights
    return this.#may(whose, [...metadata, ...content, ...replay])
  }

  content(whose: Whose): boolean {
    return this.#may(whose, this.#asker.rights.content)
  }

  replay(whose: Whose): boolean {
    return this.#may(whose, this.#asker.rights.replay)
  }

  /** Whether a reason is wanted, and none was given. One's own is opened without. */
  wantsReason({ sub, target }: Whose): boolean {
    const { rights, reason = '' } = this.#asker
    if (target === undefined || sub === this.#asker.sub || reason.trim() !== '') return false
    return fitsOne(rights.sensitive, target)
  }

  /** Before anything of a recording is opened. */
  demandReason(whose: Whose): void {
    if (!this.wantsReason(whose)) return
    throw new NoAnswer(
      'reason',
      `${whose.target} holds sensitive data: say for what reason you look (--reason)`,
    )
  }

  #may({ sub, target }: Whose, targets: Targets): boolean {
    const { rights, sub: own } = this.#asker
    if (rights.all || (sub !== undefined && sub === own)) return true
    return target !== undefined && fitsOne(targets, target)
  }
}

function fitsOne(patterns: Targets, target: string): boolean {
  return patterns.some((pattern) => globMatches(pattern, target))
}
