/** Asks who is there by SSH: each proof that a person's client offers becomes an answer, and at last a login. */
import { BlockList, isIPv6 } from 'node:net'
import { checkCertificate, fingerprint, type Proof, type ProofAnswer } from '../../protocols/ssh/index.ts'
import { splitLogin } from '../access/address.ts'
import type { Attempt, LoginResult } from '../access/authenticate.ts'
import type { SshDoor } from '../access/hosts.ts'
import type { Gate } from './gate.ts'
import { badCredential } from './refusals.ts'

type Answer = Exclude<ProofAnswer, { type: 'accept' }>

/** What a user certificate demands of the session that it opens. */
export interface CertificateTerms {
  readonly forceCommand: string | undefined
  /** What its `permit-…` extensions let pass; all of it where nobody logged in by certificate. */
  readonly terminal: boolean
  readonly forwarding: boolean
  readonly agent: boolean
}

export interface Arrived {
  /** As the client wrote it. */
  readonly typed: string
  readonly result: LoginResult
  readonly terms: CertificateTerms
}

const NO_TERMS: CertificateTerms = { forceCommand: undefined, terminal: true, forwarding: true, agent: true }

export class SshDoorkeeper {
  readonly #gate: Gate
  readonly #door: SshDoor
  readonly #address: string
  #attempt: Attempt | undefined
  /** Whether a proof of theirs has been refused, and is counted. */
  #failed = false
  #arrived: Arrived | undefined
  /** What the first factor brought, where a one-time code is waited for. */
  #awaitsCode: CertificateTerms | undefined

  constructor(gate: Gate, door: SshDoor, address: string) {
    this.#gate = gate
    this.#door = door
    this.#address = address
  }

  get arrived(): Arrived | undefined {
    return this.#arrived
  }

  /** Somebody who had named a user and went away without a proof has tried and failed. */
  leave(): void {
    if (!this.#failed && this.#arrived === undefined) this.#attempt?.refuse('abandoned')
  }

  /** Undefined when the proof holds. */
  async answer(proof: Proof): Promise<Answer | undefined> {
    const { user } = splitLogin(proof.user, this.#gate.inForce.loaded.config.targets)
    this.#attempt ??= this.#gate.parts.authenticator.begin({
      ...{ door: 'ssh', user, address: this.#address, asksForCode: true },
    })
    const attempt = this.#attempt
    switch (proof.type) {
      case 'key-query':
        return { type: this.#wouldDo(attempt, user, proof) ? 'known' : 'reject' }
      case 'key':
        return this.#key(attempt, user, proof)
      case 'password':
        return this.#settle(proof, await attempt.password(proof.password))
      case 'interactive':
        return this.#awaitsCode === undefined ? PASSWORD_PROMPT : CODE_PROMPT
      case 'responses': {
        const [secret = ''] = proof.responses
        const result = this.#awaitsCode === undefined ? await attempt.password(secret) : attempt.code(secret)
        return this.#settle(proof, result, this.#awaitsCode)
      }
    }
  }

  /** The authority's word on a certificate is asked for when it is signed with; until then any of its own may do. */
  #wouldDo(attempt: Attempt, user: string, { offered }: Extract<Proof, { type: 'key-query' }>): boolean {
    if (offered.certificate === undefined) return attempt.knowsKey(offered.key.blob)
    return this.#check(user, offered.certificate, true).valid
  }

  #key(attempt: Attempt, user: string, proof: Extract<Proof, { type: 'key' }>): Answer | undefined {
    const { certificate, key } = proof.offered
    const print = fingerprint(key.blob)
    if (certificate === undefined) return this.#settle(proof, attempt.signedBy(key.blob, print))
    const verdict = this.#check(user, certificate, proof.touch?.verified === true)
    if (!verdict.valid) return this.#settle(proof, attempt.refuse())
    const { forceCommand, extensions, keyId, serial } = verdict.grant
    const named = `${print} (${keyId.slice(0, 128)}, serial ${serial})`
    return this.#settle(proof, attempt.certifiedBy(named), {
      forceCommand,
      terminal: extensions.has('permit-pty'),
      forwarding: extensions.has('permit-port-forwarding'),
      agent: extensions.has('permit-agent-forwarding'),
    })
  }

  #check(user: string, certificate: Parameters<typeof checkCertificate>[0], verifiedUser: boolean) {
    return checkCertificate(certificate, {
      authorities: this.#door.authorities,
      principals: [user],
      now: BigInt(Math.floor(this.#gate.parts.clock.now() / 1000)),
      addressIn: (range) => isWithin(this.#address, range),
      verifiedUser,
    })
  }

  #settle(proof: Proof, result: LoginResult, terms = NO_TERMS): Answer | undefined {
    if (result.type === 'identity') {
      this.#arrived = { typed: proof.user, result, terms }
      return undefined
    }
    if (result.type === 'code') {
      this.#awaitsCode = terms
      return { type: 'partial', methods: ['keyboard-interactive'] }
    }
    this.#failed = true
    // A client tries its keys one after the other: only who typed something is told in words.
    if (proof.type === 'key') return { type: 'reject' }
    const { what, why, next, record } = badCredential(proof.user, this.#gate.refusedRecord(this.#address))
    const id = record === '' ? '' : `  id  : ${record}\n`
    return { type: 'reject', notice: `gatebook: ${what}\n  why : ${why}\n  next: ${next}\n${id}` }
  }
}

const PASSWORD_PROMPT = {
  type: 'prompt',
  name: '',
  instruction: '',
  prompts: [{ text: 'Token or password: ', echo: false }],
} as const

const CODE_PROMPT: Answer = { ...PASSWORD_PROMPT, prompts: [{ text: 'One-time code: ', echo: false }] }

/** As in a certificate's `source-address`: a network, or an address alone. What is neither holds nobody. */
function isWithin(address: string, range: string): boolean {
  const [network = '', bits] = range.split('/')
  const family = isIPv6(network) ? 'ipv6' : 'ipv4'
  const list = new BlockList()
  try {
    list.addSubnet(network, Number(bits ?? (family === 'ipv6' ? 128 : 32)), family)
  } catch {
    return false
  }
  return list.check(address, isIPv6(address) ? 'ipv6' : 'ipv4')
}
