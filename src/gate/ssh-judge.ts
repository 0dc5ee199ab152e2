/** What a person wants of a host -> whether this grant, and the certificate they came with, let it happen. */
import type { Refusal, Verdict } from '../../protocols/relay.ts'
import type { Wish } from '../../protocols/ssh/index.ts'
import type { Grant } from '../access/authorize.ts'
import { judgeSsh, type SshWish } from '../access/ssh.ts'
import type { Gate } from './gate.ts'
import type { CertificateTerms } from './ssh-door.ts'

export class SshJudge {
  readonly #gate: Gate
  readonly #terms: CertificateTerms
  #grant: Grant

  constructor(gate: Gate, grant: Grant, terms: CertificateTerms) {
    this.#gate = gate
    this.#grant = grant
    this.#terms = terms
  }

  get grant(): Grant {
    return this.#grant
  }

  /** From the next wish on. */
  renew(grant: Grant): void {
    this.#grant = grant
  }

  verdict(wish: Wish): Verdict {
    const lacking = this.#lacking(wish)
    if (lacking !== undefined) {
      const why = `Your certificate says nothing of ${lacking}.`
      const next = 'Have one issued that does.'
      return { allow: false, refusal: refusal(`${lacking} is not in your certificate`, why, next) }
    }
    const decision = judgeSsh(this.#grant.access, wishOf(wish), this.#gate.inForce.loaded)
    if (decision.type === 'refused') {
      return { allow: false, refusal: refusal(decision.what, decision.why, decision.next) }
    }
    return decision.rule === undefined ? { allow: true } : { allow: true, rule: decision.rule }
  }

  #lacking(wish: Wish): string | undefined {
    if (wish.type === 'program') return wish.terminal && !this.#terms.terminal ? 'permit-pty' : undefined
    return this.#terms.forwarding ? undefined : 'permit-port-forwarding'
  }
}

function wishOf(wish: Wish): SshWish {
  if (wish.type !== 'program') return wish
  const { program } = wish
  if (program.type === 'shell') return { type: 'program', program: 'shell', named: 'a shell' }
  if (program.type === 'exec') return { type: 'program', program: 'exec', named: 'running a command' }
  const known = program.name === 'sftp'
  return { type: 'program', program: known ? 'sftp' : 'other', named: `the subsystem ${program.name}` }
}

function refusal(what: string, why: string, next: string): Refusal {
  return { cause: 'statement', what, why, next, record: '' }
}
