/** The book's public side, for verifying it in the page, and what concerns this gateway itself. */
import { z } from 'zod'
import { canonicalText, effectiveConfig } from '../config/effective.ts'
import * as api from './api.ts'
import type { Calling } from './calling.ts'
import { type Route, route } from './route.ts'
import type { Caller } from './sign-in.ts'

const whole = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number)

export function bookRoutes(calling: Calling): readonly Route[] {
  return [...gatewayRoutes(calling), ...evidenceRoutes(calling)]
}

function evidenceRoutes(calling: Calling): readonly Route[] {
  const { ledger, vkey, origin, bookState } = calling.parts
  const demandVerify = async (caller: Caller): Promise<void> => {
    if (calling.rights(caller).verify) return
    throw await calling.refuse(caller, 'You may not check the whole book', 'None of your roles says so.')
  }
  return [
    route({
      method: 'get',
      path: '/book',
      summary: "The book's size, newest checkpoint and key",
      answer: api.BOOK,
      handle: () => {
        const { head, first } = ledger
        const size = Number(head.split('\n')[1] ?? 0)
        return { origin, size, head, vkey, state: bookState(), first }
      },
    }),
    route({
      method: 'get',
      path: '/book/leaves',
      summary: 'Leaves as they lie in the book, each behind its length in two bytes, in pages',
      query: { from: whole },
      answer: { media: 'application/octet-stream' },
      handle: async ({ caller, query: { from } }) => {
        await demandVerify(caller)
        await calling.noteView(caller, `leaves from ${from}`, 'verify')
        return ledger.leaves(from)
      },
    }),
    route({
      method: 'get',
      path: '/book/checkpoints',
      summary: 'Kept checkpoints, smallest first, in pages',
      query: { above: whole.optional() },
      answer: api.CHECKPOINTS,
      handle: async ({ caller, query: { above = -1 } }) => {
        await demandVerify(caller)
        return ledger.checkpoints(above)
      },
    }),
  ]
}

function gatewayRoutes(calling: Calling): readonly Route[] {
  const { release, listening, loaded } = calling.parts
  return [
    route({
      method: 'get',
      path: '/me',
      summary: 'Who is signed in, and what there is for them',
      answer: api.ME,
      handle: ({ caller }) => {
        const { all, metadata, content, replay, verify, end } = calling.rights(caller)
        const others = all || metadata.length + content.length + replay.length > 0
        return {
          ...{ user: caller.identity.user, gateway: loaded().config.gateway.name, release },
          ...(caller.session === undefined ? {} : { csrf: caller.session.csrf }),
          sees: { others, verify, end, all },
        }
      },
    }),
    route({
      method: 'get',
      path: '/settings',
      summary: 'The configuration in force, without secrets',
      answer: api.SETTINGS,
      handle: async ({ caller }) => {
        if (!calling.rights(caller).all) {
          throw await calling.refuse(
            caller,
            'You may not see the configuration',
            'That is for those who may read everything.',
          )
        }
        await calling.noteView(caller, 'configuration')
        const effective = canonicalText(effectiveConfig(loaded().config))
        return {
          effective,
          release,
          listening: listening().map(({ name, type, host, port }) => ({
            name,
            type,
            address: `${host}:${port}`,
          })),
        }
      },
    }),
  ]
}
