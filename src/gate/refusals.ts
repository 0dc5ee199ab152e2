/** What people are told when the gateway says no: what, why, what next, and the id of the record that says the same. */
import type { Refusal } from '../../protocols/relay.ts'
import type { Ending } from '../access/live.ts'

/** The same words for a wrong password, an unknown user, a locked name and a missing target: names cannot be probed. */
export function badCredential(user: string, record: string): Refusal {
  return {
    cause: 'credential',
    what: `login failed for "${user}"`,
    why: 'The user, the target or the password is not right, or there were too many failures.',
    next: 'Log in as <user>~<target> with a token: gatebook token create <user>.',
    record,
  }
}

/** `contact` closes every refusal that only somebody else can lift. */
export function accessDenied(
  target: string,
  user: string,
  why: readonly string[],
  ask: string,
  record: string,
): Refusal {
  return {
    cause: 'access',
    what: `access to "${target}" denied for ${user}`,
    why: why.join('\n'),
    next: ask,
    record,
  }
}

export function noTarget(user: string, targets: readonly string[], record: string): Refusal {
  const within =
    targets.length === 0
      ? 'No target is within your reach here.'
      : `Within your reach: ${targets.join(', ')}.`
  return {
    cause: 'access',
    what: 'no target named',
    why: within,
    next: `Log in as ${user}~<target>.`,
    record,
  }
}

export function targetFailed(target: string, why: string, record: string): Refusal {
  return {
    cause: 'target',
    what: `the target "${target}" cannot be used`,
    why,
    next: `Whoever runs this gateway can look: gatebook doctor ${target}`,
    record,
  }
}

export function unsupported(what: string, why: string, next: string, record: string): Refusal {
  return { cause: 'unsupported', what, why, next, record }
}

export const CANNOT_RECORD: Refusal = {
  cause: 'recorder',
  what: 'this gateway cannot record, so it does not connect',
  why: 'Its book cannot be written at the moment.',
  next: 'Whoever runs this gateway can look: gatebook book status',
  record: '',
}

export const UNRECORDABLE: Refusal = {
  cause: 'recorder',
  what: 'this gateway cannot record that much at once, so it ends the session',
  why: 'A statement runs only when it stands in the book, and the journal has no room for this one.',
  next: 'Connect again, and send less at once.',
  record: '',
}

export const DRAINING: Refusal = {
  cause: 'busy',
  what: 'this gateway is about to stop',
  why: 'It takes no new sessions while it lets the open ones end.',
  next: 'Connect again in half a minute.',
  record: '',
}

export function ended(ending: Ending, record: string): Refusal {
  return {
    cause: ending.why === 'limit' ? 'limit' : 'ended',
    what: `this session was ended: ${ending.message}`,
    why: ENDINGS[ending.why],
    next: ending.why === 'admin' ? 'Ask whoever ended it before you go on.' : 'Connect again to go on.',
    record,
  }
}

const ENDINGS: Readonly<Record<Ending['why'], string>> = {
  admin: 'An administrator, or a change of what you may reach, ended it.',
  idle: 'Nothing was sent either way for longer than this gateway allows.',
  limit: 'Sessions, credentials and grants last for a limited time.',
  stop: 'The gateway stops or is being replaced.',
}
