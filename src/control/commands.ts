/** What the control socket can be asked: one entry per command, each with the form of what it takes. */
import { z } from 'zod'
import { LOCAL_SUBJECT } from '../access/events.ts'
import { endedBy, type LiveConnection } from '../access/live.ts'
import type { Gate } from '../gate/gate.ts'
import { erase, retain, reveal, rotateSigningKey } from '../record/administration.ts'
import { OperatorError } from '../system/operator-error.ts'
import type { Command } from './server.ts'

export interface CommandParts {
  /** Answers a question of a reader, recorded before it is answered. */
  readonly read: (question: unknown, sub: string, reason: string | undefined) => Promise<unknown>
  readonly gate: Gate
  readonly reload: () => Promise<readonly string[]>
  /** Another process takes this gateway's place; says how long this one takes to end. */
  readonly handOver: () => { readonly graceMs: number }
}

/** A live session as commands show it. Times are milliseconds since 1970. */
export interface SessionRow {
  readonly session: string
  readonly protocol: string
  readonly user: string
  readonly target: string
  readonly roles: readonly string[]
  readonly address: string
  readonly since: number
  readonly lastTraffic: number
  readonly idle: boolean
}

const sid = z.string().regex(/^[a-z2-7]{16}$/, { error: 'expected the id of a session, 16 characters' })
const reason = z.string().max(1000).optional()
const scope = z.union([
  z.strictObject({
    refs: z
      .array(z.tuple([sid, z.int().min(0)]))
      .min(1)
      .max(128),
  }),
  z.strictObject({ sids: z.array(sid).min(1).max(256) }),
  z.strictObject({ below: z.int().min(1) }),
])

export function controlCommands({
  gate,
  reload,
  handOver,
  read,
}: CommandParts): ReadonlyMap<string, Command> {
  const { recorder, live } = gate.parts
  return new Map<string, Command>([
    ['sessions.list', takes(z.strictObject({}), () => live.list().map(sessionRow))],
    [
      'sessions.kill',
      takes(z.strictObject({ session: sid, reason }), (given, sub) => {
        const connection = live.find(given.session)
        if (connection === undefined) throw new OperatorError('usage', `no session ${given.session} is open`)
        const why = given.reason === undefined ? {} : { private: { reason: given.reason } }
        gate.note({ type: 'admin', act: 'session.kill', sub, outcome: 'ok', about: given.session, ...why })
        const by = sub === LOCAL_SUBJECT ? 'an administrator' : sub
        connection.end(endedBy(by, given.reason))
        return sessionRow(connection)
      }),
    ],
    ['reload', takes(z.strictObject({}), () => reload())],
    [
      'gateway.hand-over',
      takes(z.strictObject({}), (_, sub) => {
        const ending = handOver()
        gate.note({ type: 'admin', act: 'gateway.hand-over', sub, outcome: 'ok' })
        return ending
      }),
    ],
    [
      'read',
      takes(z.strictObject({ question: z.looseObject({ type: z.string() }), reason }), (given, sub) =>
        read(given.question, sub, given.reason),
      ),
    ],
    ['book.status', takes(z.strictObject({}), () => recorder.status())],
    [
      'book.erase',
      takes(z.strictObject({ scope, reason }), (given, sub) =>
        erase(recorder, given.scope, act(sub, given.reason)),
      ),
    ],
    [
      'book.retain',
      takes(z.strictObject({ below: z.int().min(1), reason }), (given, sub) =>
        retain(recorder, given.below, act(sub, given.reason)),
      ),
    ],
    [
      'book.reveal',
      takes(z.strictObject({ session: sid, reason }), (given, sub) =>
        reveal(recorder, given.session, act(sub, given.reason)),
      ),
    ],
    [
      'book.rotate-key',
      takes(z.strictObject({ reason }), async (given, sub) => ({
        vkey: await rotateSigningKey(recorder, act(sub, given.reason)),
      })),
    ],
  ])
}

function takes<Given>(form: z.ZodType<Given>, run: (given: Given, sub: string) => unknown): Command {
  return async (given, { sub }) => {
    const parsed = form.safeParse(given)
    if (!parsed.success)
      throw new OperatorError('usage', parsed.error.issues.map(({ message }) => message).join('\n'))
    return run(parsed.data, sub)
  }
}

function act(sub: string, reason: string | undefined): { sub: string; reason?: string } {
  return reason === undefined ? { sub } : { sub, reason }
}

function sessionRow(connection: LiveConnection): SessionRow {
  const grant = connection.grant()
  return {
    session: connection.sid,
    protocol: connection.protocol,
    user: connection.user,
    target: grant.targetName,
    roles: grant.roles,
    address: connection.address,
    since: connection.since,
    lastTraffic: connection.lastTraffic(),
    idle: connection.isIdle(),
  }
}
