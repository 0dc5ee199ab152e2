/**
 * What a grant lets a person do at an SSH host: programs, tunnels from there, listeners there. The target says what
 * is possible at all, and roles may take some of it away; several roles add up.
 */
import type { LoadedConfig } from '../config/load.ts'
import type { Config, Role, SshTarget } from '../config/schema.ts'
import { globMatches } from '../config/selectors.ts'
import { type Access, whomToAsk } from './rights.ts'

export type SshProgram = SshTarget['allow'][number]

export type SshWish =
  | { readonly type: 'program'; readonly program: SshProgram | 'other'; readonly named: string }
  /** `host:port`, `[::1]:port` or a socket's path. */
  | { readonly type: 'connect'; readonly address: string }
  | { readonly type: 'listen'; readonly address: string }

export type SshDecision =
  | { readonly type: 'allowed'; readonly rule: string | undefined }
  | { readonly type: 'refused'; readonly what: string; readonly why: string; readonly next: string }

const SSH_PORT = 22

export function judgeSsh(access: Access, wish: SshWish, loaded: LoadedConfig): SshDecision {
  const { target, targetName } = access
  if (target.type !== 'ssh') throw new TypeError(`${targetName} is no SSH target`)
  const refuse = (what: string, why: string): SshDecision => ({
    type: 'refused',
    ...{ what, why, next: whomToAsk(loaded) },
  })
  switch (wish.type) {
    case 'program': {
      const { program, named } = wish
      const what = `${named} is not allowed on "${targetName}"`
      if (program === 'other' || !target.allow.includes(program)) {
        return refuse(what, `This target allows ${listed(target.allow)}.`)
      }
      const rule = allowing(access, ({ ssh }) => ssh?.allow === undefined || ssh.allow.includes(program))
      return (
        rule ??
        refuse(
          what,
          rolesLack(access, ({ ssh }) => listed(ssh?.allow ?? [])),
        )
      )
    }
    case 'connect': {
      const { address } = wish
      const what = `forwarding to ${address} is not allowed on "${targetName}"`
      const way = recordedWay(address, target, loaded.config)
      if (way !== undefined) return refuse(what, way)
      if (!someMatches(target.forward, address)) return refuse(what, 'The target does not list it.')
      const rule = allowing(
        access,
        ({ ssh }) => ssh?.forward === undefined || someMatches(ssh.forward, address),
      )
      return (
        rule ??
        refuse(
          what,
          rolesLack(access, ({ ssh }) => listed(ssh?.forward ?? [])),
        )
      )
    }
    case 'listen': {
      const { address } = wish
      const what = `listening at ${address} is not allowed on "${targetName}"`
      if (!matches(target.listen, address)) return refuse(what, 'The target does not list it.')
      const rule = allowing(access, ({ ssh }) => ssh?.listen === undefined || matches(ssh.listen, address))
      return (
        rule ??
        refuse(
          what,
          rolesLack(access, ({ ssh }) => listed(ssh?.listen ?? [])),
        )
      )
    }
  }

  /** SSH inside a tunnel goes unseen, so no wildcard leads there: its destination must be written out. */
  function someMatches(patterns: readonly string[], address: string): boolean {
    const port = parse(address)?.port
    const isSsh = target.type === 'ssh' && (port === SSH_PORT || port === target.address.port)
    return isSsh ? patterns.includes(address) : matches(patterns, address)
  }
}

/** The first role that allows it, by which the record names it. */
function allowing({ rights }: Access, test: (role: Role) => boolean): SshDecision | undefined {
  const right = rights.find(({ role }) => test(role))
  return right === undefined ? undefined : { type: 'allowed', rule: right.name }
}

function rolesLack({ rights }: Access, allowed: (role: Role) => string): string {
  return rights.map(({ name, role }) => `Your role ${name} allows ${allowed(role)}.`).join(' ')
}

function listed(words: readonly string[]): string {
  return words.length === 0 ? 'none of it' : words.join(', ')
}

/**
 * Why an address must not be tunnelled to, whatever a list says: it is a target of this gateway, and its sessions
 * are recorded when they come through the gateway only.
 */
function recordedWay(address: string, self: SshTarget, { targets }: Config): string | undefined {
  const place = parse(address)
  if (place === undefined) return undefined
  const host = place.host.toLowerCase()
  if (place.port === self.address.port && (isLoopback(host) || host === self.address.host.toLowerCase())) {
    return 'It is the SSH of this very host, where the gateway would not see what happens.'
  }
  for (const [name, { address: other }] of targets) {
    if (other.port === place.port && other.host.toLowerCase() === host) {
      return `It is the target "${name}": log in as <user>~${name} instead.`
    }
  }
  return undefined
}

/** As the host's resolver takes them: `127.1` and `2130706433` are it too, and so is the empty name. */
function isLoopback(host: string): boolean {
  if (host === '' || host === '*' || host === 'localhost' || host.endsWith('.localhost')) return true
  if (host.includes(':'))
    return /^[0:]*(:|::1|:1)$/.test(host) || host.includes('ffff:127.') || host.includes('ffff:7f')
  return /^(127|0x7f|0177|0|0x0|2130706433|0x7f[0-9a-f]{6})(\.|$)/.test(host)
}

function matches(patterns: readonly string[], address: string): boolean {
  const place = parse(address)
  return patterns.some((pattern) => {
    const wanted = parse(pattern)
    if (place === undefined || wanted === undefined) {
      return place === wanted && globMatches(pattern, address)
    }
    return (
      globMatches(wanted.host.toLowerCase(), place.host.toLowerCase()) &&
      (wanted.port === '*' || wanted.port === place.port)
    )
  })
}

interface Place {
  readonly host: string
  readonly port: number | '*'
}

/** Undefined for the path of a socket. */
function parse(address: string): Place | undefined {
  if (address.startsWith('/')) return undefined
  const at = address.lastIndexOf(':')
  const host = address.slice(0, at).replace(/^\[(.*)\]$/, '$1')
  const port = address.slice(at + 1)
  return { host, port: port === '*' ? '*' : Number(port) }
}
