/** Identity + target -> Grant. Only here a Grant is made, and only for a Grant a target is dialled. */
import type { LoadedConfig } from '../config/load.ts'
import type { Config, Target } from '../config/schema.ts'
import type { Identity } from './authenticate.ts'
import {
  type Access,
  type AccessRequest,
  type Denial,
  decideAccess,
  type Person,
  whomToAsk,
} from './rights.ts'

let permit: (identity: Identity, access: Access) => Grant

/** What one identity may do at one target: a proof, which what looks alike is not. */
export class Grant {
  readonly #identity: Identity
  readonly #access: Access

  private constructor(identity: Identity, access: Access) {
    this.#identity = identity
    this.#access = access
  }

  static {
    permit = (identity, access) => new Grant(identity, access)
  }

  get identity(): Identity {
    return this.#identity
  }

  get access(): Access {
    return this.#access
  }

  get targetName(): string {
    return this.#access.targetName
  }

  get target(): Target {
    return this.#access.target
  }

  get readOnly(): boolean {
    return this.#access.readOnly
  }

  /** Names of the roles in force, each once. */
  get roles(): readonly string[] {
    return [...new Set(this.#access.rights.map(({ name }) => name))]
  }
}

export type Authorization = { readonly type: 'granted'; readonly grant: Grant } | Denial

export function authorize(
  identity: Identity,
  request: AccessRequest,
  loaded: LoadedConfig,
  now: number,
): Authorization {
  const decision = decideAccess(personOf(identity, loaded.config), request, loaded, now)
  return decision.type === 'denied' ? decision : { type: 'granted', grant: permit(identity, decision.access) }
}

/** Groups come from whoever vouches for the identity; a removed user has none, and no grant of their own. */
export function personOf({ user, facts }: Identity, { users }: Config): Person {
  switch (facts.source.type) {
    case 'configuration':
      return { user, groups: users.get(user)?.groups ?? [] }
  }
}

/**
 * The same access under another configuration or at a later time: for a reload, and for hours and expiries that
 * pass while a session lives. A connection logged in with the right to write cannot lose it, so it must end.
 */
export function renew(grant: Grant, loaded: LoadedConfig, now: number): Authorization {
  const { targetName, target, database, readOnly, replication } = grant.access
  const request = {
    protocol: target.type,
    named: targetName,
    replication,
    ...(database === undefined ? {} : { database }),
  }
  const renewed = authorize(grant.identity, request, loaded, now)
  if (renewed.type === 'denied' || readOnly || !renewed.grant.readOnly) return renewed
  return {
    ...{ type: 'denied', cause: 'read-only', target: targetName, lines: [] },
    what: `this session on "${targetName}" may no longer write`,
    why: `What remains of your roles (${renewed.grant.roles.join(', ')}) is read-only.`,
    next: `Connect again to go on reading. ${whomToAsk(loaded)}`,
  }
}

export interface Renewal {
  readonly gone: readonly { readonly grant: Grant; readonly denial: Denial }[]
  /** What each remaining session goes on under, from its next statement on. */
  readonly kept: ReadonlyMap<Grant, Grant>
}

export function renewAll(grants: Iterable<Grant>, loaded: LoadedConfig, now: number): Renewal {
  const gone: { grant: Grant; denial: Denial }[] = []
  const kept = new Map<Grant, Grant>()
  for (const grant of grants) {
    const renewed = renew(grant, loaded, now)
    if (renewed.type === 'denied') gone.push({ grant, denial: renewed })
    else kept.set(grant, renewed.grant)
  }
  return { gone, kept }
}
