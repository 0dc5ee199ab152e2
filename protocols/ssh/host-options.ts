/** How a host is spoken to: whom it must be, as whom we come, with which algorithms. In the words of ssh2's Client. */
import type { HostPin } from './host-pins.ts'
import { algorithmsOf } from './keys.ts'

export type HostCredential =
  | { readonly type: 'key'; readonly privateKey: string; readonly passphrase?: string }
  | { readonly type: 'password'; readonly password: string }
  /** An agent of the gateway's own, by the path of its socket. */
  | { readonly type: 'agent'; readonly socket: string }

/** Algorithms beside the usual ones, for hosts that have no others; asked for per target. */
export interface LegacyAlgorithms {
  readonly kex?: readonly string[]
  readonly cipher?: readonly string[]
  readonly mac?: readonly string[]
  readonly hostKey?: readonly string[]
}

export interface HostOptions {
  readonly user: string
  readonly credential: HostCredential
  /** At least one: without a pin every host would be believed. */
  readonly pins: readonly HostPin[]
  readonly readyTimeoutMs: number
  readonly keepaliveMs: number
  readonly legacy?: LegacyAlgorithms
}

type Prompts = readonly { readonly echo?: boolean }[]
type Finish = (answers: string[]) => void

/** Only keys of a pinned type are asked for, else the host would show another of its keys. */
export function offeredAlgorithms({ pins, legacy }: HostOptions) {
  const pinned = pins.flatMap(({ keyType }) => algorithmsOf(keyType))
  const append = (names: readonly string[] = []) => ({ append: [...names], prepend: [], remove: [] })
  return {
    serverHostKey: [...new Set([...pinned, ...(legacy?.hostKey ?? [])])],
    kex: append(legacy?.kex),
    cipher: append(legacy?.cipher),
    hmac: append(legacy?.mac),
  }
}

/** The injected credential and nothing else: no `none`, no second guess. */
export function authMethods({ user: username, credential }: HostOptions) {
  switch (credential.type) {
    case 'key': {
      const { privateKey: key, passphrase } = credential
      return [{ type: 'publickey', username, key, ...(passphrase === undefined ? {} : { passphrase }) }]
    }
    case 'agent':
      return [{ type: 'agent', username, agent: credential.socket }]
    case 'password': {
      const { password } = credential
      // Some hosts ask for the password by a prompt; it goes to a single hidden one and to no other.
      const prompt = (
        _name: string,
        _instruction: string,
        _language: string,
        asked: Prompts,
        finish: Finish,
      ): void => finish(asked.length === 1 && asked[0]?.echo === false ? [password] : [])
      return [
        { type: 'password', username, password },
        { type: 'keyboard-interactive', username, prompt },
      ]
    }
  }
}
