/** Sessions that are open now, and who may reach what. */
import { z } from 'zod'
import { explainAccess, listReach, type Reach } from '../access/explain.ts'
import { endedBy, type LiveConnection } from '../access/live.ts'
import type { Rights } from '../read/rights.ts'
import * as api from './api.ts'
import { type Calling, mayKnowOf } from './calling.ts'
import { ProblemError } from './errors.ts'
import { type Route, route } from './route.ts'
import type { Caller } from './sign-in.ts'
import { waysTo } from './ways.ts'

const STATEMENT_MAX = 20_000
const REASON_MAX = 1000

export function accessRoutes(calling: Calling): readonly Route[] {
  return [...liveRoutes(calling), ...reachRoutes(calling)]
}

/** Their own, and those at targets of which they may know. */
export function liveSessions(calling: Calling, caller: Caller): readonly api.LiveSession[] {
  const rights = calling.rights(caller)
  return calling.parts.live.list().flatMap((connection) => {
    const own = connection.user === caller.identity.user
    if (!own && !mayKnowOf(rights, connection.grant().targetName)) return []
    return [{ ...rowOf(connection), mayEnd: own || rights.end }]
  })
}

function rowOf(connection: LiveConnection): Omit<api.LiveSession, 'mayEnd'> {
  const grant = connection.grant()
  return {
    ...{ session: connection.sid, protocol: connection.protocol, user: connection.user },
    ...{ target: grant.targetName, roles: grant.roles, address: connection.address },
    ...{ since: connection.since, lastTraffic: connection.lastTraffic(), idle: connection.isIdle() },
  }
}

function liveRoutes(calling: Calling): readonly Route[] {
  return [
    route({
      method: 'get',
      path: '/live',
      summary: 'Sessions that are open now',
      answer: api.LIVE_SESSIONS,
      handle: async ({ caller }) => {
        await calling.noteView(caller, 'open sessions')
        return { sessions: liveSessions(calling, caller) }
      },
    }),
    route({
      method: 'post',
      path: '/live/{sid}/end',
      summary: 'Ends an open session; its user is told',
      params: { sid: z.string().regex(/^[a-z2-7]{16}$/) },
      body: { reason: z.string().max(REASON_MAX).optional() },
      answer: z.object({ session: z.string(), user: z.string(), target: z.string() }),
      handle: async ({ caller, params: { sid }, body: { reason } }) => {
        const shown = liveSessions(calling, caller).find(({ session }) => session === sid)
        if (shown === undefined) throw new ProblemError('not-found', { what: `No session ${sid} is open.` })
        if (!shown.mayEnd) {
          throw await calling.refuse(
            caller,
            `You may not end session ${sid}`,
            'It is not yours, and none of your roles says so.',
          )
        }
        const { user, facts } = caller.identity
        await calling.parts.note({
          ...({ type: 'admin', act: 'session.kill', sub: facts.sub, outcome: 'ok', about: sid } as const),
          ...(reason === undefined ? {} : { private: { reason } }),
        })
        // Gone meanwhile is ended too.
        calling.parts.live.find(sid)?.end(endedBy(user, reason))
        return { session: sid, user: shown.user, target: shown.target }
      },
    }),
  ]
}

function reachRoutes(calling: Calling): readonly Route[] {
  const { loaded, clock, readSql } = calling.parts
  return [
    route({
      method: 'get',
      path: '/access/mine',
      summary: 'Targets within your reach, and what to type to get there',
      answer: api.MY_TARGETS,
      handle: ({ caller }) => {
        const own = listReach(loaded(), clock.now()).filter(({ user }) => user === caller.identity.user)
        const names = [...new Set(own.map(({ target }) => target))]
        return { targets: names.map((name) => myTarget(calling, caller, name, own)) }
      },
    }),
    route({
      method: 'get',
      path: '/access',
      summary: 'Who may reach what, through which role, and where the configuration says so',
      answer: api.REACH,
      handle: async ({ caller }) => {
        await calling.noteView(caller, 'access')
        const rights = calling.rights(caller)
        const { users, targets } = loaded().config
        const reach = listReach(loaded(), clock.now()).filter((one) => mayKnow(rights, caller, one))
        const people = new Set([caller.identity.user, ...reach.map(({ user }) => user)])
        return {
          reach,
          users: [...users]
            .filter(([user]) => rights.all || people.has(user))
            .map(([user, { groups, kind }]) => ({ user, groups, kind })),
          targets: [...targets]
            .filter(([target]) => mayKnowOf(rights, target) || reach.some((one) => one.target === target))
            .map(([target, { type, labels }]) => ({ target, type, labels })),
        }
      },
    }),
    route({
      method: 'get',
      path: '/access/why',
      summary: 'Why somebody may reach a target, or run a statement there, or may not',
      query: {
        user: z.string().max(100),
        target: z.string().max(100),
        sql: z.string().max(STATEMENT_MAX).optional(),
      },
      answer: api.WHY,
      handle: async ({ caller, query: { user, target, sql } }) => {
        const own = user === caller.identity.user
        if (!own && !mayKnowOf(calling.rights(caller), target)) {
          throw await calling.refuse(caller, "You may not see others' access", `To the target "${target}".`)
        }
        await calling.noteView(caller, `access of ${user} to ${target}`)
        const type = loaded().config.targets.get(target)?.type
        const asked = sql === undefined || sql.trim() === '' || type === undefined || type === 'ssh'
        const facts = asked ? undefined : await readSql(type, sql)
        const question = { user, target, ...(facts === undefined ? {} : { facts }) }
        return explainAccess(question, loaded(), clock.now())
      },
    }),
  ]
}

function mayKnow(rights: Rights, caller: Caller, { user, target }: Reach): boolean {
  return user === caller.identity.user || mayKnowOf(rights, target)
}

function myTarget(calling: Calling, caller: Caller, target: string, own: readonly Reach[]) {
  const ways = own.filter((one) => one.target === target)
  const { config } = calling.parts.loaded()
  const ports = new Map(calling.parts.listening().map(({ name, port }) => [name, port]))
  return {
    target,
    type: ways[0]?.type ?? 'postgres',
    roles: [...new Set(ways.map(({ role }) => role))],
    limits: ways.map(({ role, limits }) => `${role}: ${limits}`),
    usable: ways.some(({ standing }) => standing === 'holds'),
    ways: waysTo({ config, target, user: caller.identity.user, host: caller.host, ports }),
  }
}
