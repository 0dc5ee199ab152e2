/** What no single value shows: names that must exist elsewhere in the file, and choices that exclude one another. */
import { didYouMean, type Fault, faultAt, nearest } from './faults.ts'
import type { Path, Places } from './places.ts'
import { type Address, LOOPBACK } from './scalars.ts'
import type { Config, ConsoleListener, Role, Target } from './schema.ts'
import { isList, reaches } from './selectors.ts'

type Report = (path: Path, at: 'key' | 'value', message: string) => void

export function crossCheck(config: Config, places: Places): Fault[] {
  const faults: Fault[] = []
  const report: Report = (path, at, message) => faults.push(faultAt(places, path, at, message))
  checkListeners(config, report)
  checkUsers(config, report)
  checkTargets(config, report)
  checkRoles(config, report)
  checkGrants(config, report)
  checkPolicies(config, report)
  return faults
}

/** Demands that `name` is one of `known`, a thing called `kind`. */
function demand(
  kind: string,
  name: string,
  known: ReadonlyMap<string, unknown>,
  path: Path,
  report: Report,
): void {
  if (known.has(name)) return
  report(path, 'value', `no ${kind} is called "${name}"${didYouMean(nearest(name, known.keys()))}`)
}

function checkListeners({ listeners, targets }: Config, report: Report): void {
  const taken: { readonly name: string; readonly address: Address }[] = []
  for (const [name, listener] of listeners) {
    const other = taken.find(({ address }) => clash(address, listener.address))
    if (other !== undefined)
      report(['listeners', name, 'address'], 'value', `listener "${other.name}" has this address`)
    taken.push({ name, address: listener.address })
    if (listener.type === 'console') checkConsole(name, listener, report)
    if (listener.type === 'metrics' || listener.type === 'console') continue

    const target = listener.target === undefined ? undefined : targets.get(listener.target)
    const path = ['listeners', name, 'target']
    if (listener.target !== undefined) demand('target', listener.target, targets, path, report)
    if (target !== undefined && target.type !== listener.type) {
      report(
        path,
        'value',
        `a listener of type ${listener.type} cannot lead to a target of type ${target.type}`,
      )
    }
    if (listener.type !== 'mysql') continue
    if (listener.target === undefined && listener.version === undefined) {
      report(
        ['listeners', name, 'version'],
        'key',
        'missing key "version": a listener without a target must say what it greets as',
      )
    }
    if (listener.target !== undefined && listener.version !== undefined) {
      report(['listeners', name, 'version'], 'key', 'a listener with a target greets as its target does')
    }
  }
}

function checkConsole(name: string, listener: ConsoleListener, report: Report): void {
  const { address, require_tls: tls, public_url: url } = listener
  if (!tls && !LOOPBACK.includes(address.host)) {
    report(
      ['listeners', name, 'require_tls'],
      'value',
      'plain HTTP is for loopback: passwords and what was recorded would cross the network in clear',
    )
  }
  if (tls && url?.startsWith('http://')) {
    report(['listeners', name, 'public_url'], 'value', 'this listener speaks HTTPS: expected https://…')
  }
}

const EVERYWHERE: readonly string[] = ['0.0.0.0', '::']

/** Port 0 is a new port each time. */
function clash(a: Address, b: Address): boolean {
  const sameHost = a.host === b.host || EVERYWHERE.includes(a.host) || EVERYWHERE.includes(b.host)
  return a.port !== 0 && a.port === b.port && sameHost
}

function checkUsers({ users, groups, gateway }: Config, report: Report): void {
  for (const [name, user] of users) {
    for (const [i, group] of user.groups.entries())
      demand('group', group, groups, ['users', name, 'groups', i], report)
    if (user.idle !== undefined && user.kind !== 'service') {
      report(
        ['users', name, 'idle'],
        'key',
        'only an account with "kind: service" may be exempt from the idle limit',
      )
    }
    if (user.certificates.length > 0 && gateway.tls.client_ca === undefined) {
      report(
        ['users', name, 'certificates'],
        'key',
        'no client shows a certificate without gateway.tls.client_ca',
      )
    }
  }
}

function checkTargets({ targets }: Config, report: Report): void {
  for (const [name, target] of targets) {
    if (target.type !== 'ssh') {
      if (target.tls.mode === 'disable' && target.tls.ca !== undefined) {
        report(['targets', name, 'tls', 'ca'], 'key', 'nothing is verified with "mode: disable"')
      }
      if ((target.tls.cert === undefined) !== (target.tls.key === undefined)) {
        report(['targets', name, 'tls'], 'key', 'expected both cert and key, or neither')
      }
      continue
    }
    if ((target.host_key === undefined) === (target.known_hosts === undefined)) {
      report(
        ['targets', name],
        'key',
        'expected either host_key or known_hosts: an unknown host is never trusted',
      )
    }
    const { private_key, password, agent } = target.credentials
    if ([private_key, password, agent].filter((way) => way !== undefined).length !== 1) {
      report(['targets', name, 'credentials'], 'key', 'expected one of private_key, password and agent')
    }
    checkJump(name, targets, report)
  }
}

/** Each way to a host ends at one that is reached directly. */
function checkJump(name: string, targets: Config['targets'], report: Report): void {
  const path = ['targets', name, 'jump']
  const passed = new Set([name])
  for (let at = jumpOf(targets.get(name)); at !== undefined; at = jumpOf(targets.get(at))) {
    const next = targets.get(at)
    if (next === undefined) demand('target', at, targets, path, report)
    else if (next.type !== 'ssh') report(path, 'value', `target "${at}" is no SSH target`)
    if (next?.type !== 'ssh') return
    if (passed.has(at)) {
      report(path, 'value', 'this way leads in a circle')
      return
    }
    passed.add(at)
  }
}

function jumpOf(target: Target | undefined): string | undefined {
  return target?.type === 'ssh' ? target.jump : undefined
}

function checkRoles({ roles, targets }: Config, report: Report): void {
  for (const [name, role] of roles) {
    checkReading(name, role, targets, report)
    for (const [i, pattern] of namesOf(role).entries()) {
      const path = ['roles', name, 'targets', i]
      if (!pattern.includes('*')) demand('target', pattern, targets, path, report)
      if (role.read_only && targets.get(pattern)?.type === 'ssh') {
        report(path, 'value', `"${pattern}" is an SSH target, and nothing there can be read-only`)
      }
    }
    checkReplication(name, role, report)
    if (!role.read_only) continue
    for (const [id, target] of targets) {
      if (target.type === 'ssh' || !reaches(role, id, target) || target.read_only_credentials) continue
      report(['roles', name, 'read_only'], 'value', `target "${id}" has no read_only_credentials`)
    }
  }
}

/** What passes as replication is not read here, so no limit on what is read could hold. */
function checkReplication(name: string, role: Role, report: Report): void {
  if (!role.replication) return
  const limits = [
    ...(role.read_only ? ['read_only'] : []),
    ...(role.databases === undefined ? [] : ['databases']),
    ...(role.max_rows === undefined ? [] : ['max_rows']),
  ]
  for (const limit of limits) {
    report(
      ['roles', name, 'replication'],
      'value',
      `replication carries all data of the server, so "${limit}" cannot hold beside it: use two roles`,
    )
  }
}

function checkReading(name: string, role: Role, targets: Config['targets'], report: Report): void {
  const { read } = role
  if (read === undefined) {
    const isEmpty = isList(role.targets) && role.targets.length === 0
    if (isEmpty) report(['roles', name], 'key', 'expected "targets" or "read": this role gives nothing')
    return
  }
  if (role.hours !== undefined) {
    report(
      ['roles', name, 'hours'],
      'key',
      'hours hold for connecting alone: "read" belongs into another role',
    )
  }
  for (const [i, pattern] of (isList(read.targets) ? read.targets : []).entries()) {
    if (!pattern.includes('*'))
      demand('target', pattern, targets, ['roles', name, 'read', 'targets', i], report)
  }
}

function namesOf(role: Role): readonly string[] {
  return isList(role.targets) ? role.targets : []
}

function checkGrants({ grants, users, groups, roles }: Config, report: Report): void {
  for (const [i, grant] of grants.entries()) {
    if ((grant.user === undefined) === (grant.group === undefined)) {
      report(['grants', i], 'key', 'expected either "user" or "group"')
    }
    if (grant.user !== undefined) demand('user', grant.user, users, ['grants', i, 'user'], report)
    if (grant.group !== undefined) demand('group', grant.group, groups, ['grants', i, 'group'], report)
    demand('role', grant.role, roles, ['grants', i, 'role'], report)
  }
}

function checkPolicies({ policies }: Config, report: Report): void {
  const seen = new Map<string, number>()
  for (const [i, { id, when }] of policies.entries()) {
    if (seen.has(id))
      report(['policies', i, 'id'], 'value', `policy ${(seen.get(id) ?? 0) + 1} of the list has this id`)
    if (Object.keys(when).length === 0) {
      report(
        ['policies', i, 'when'],
        'key',
        'expected at least one condition: this would refuse every statement',
      )
    }
    seen.set(id, i)
  }
}
