/** What happens at the door and around the gate, as records of a session: src/access/events.ts into members. */

import type { Payload, PayloadType } from '../../protocols/events.ts'
import type {
  AccessDeniedEvent,
  AdminEvent,
  AuditReadEvent,
  ConfigEvent,
  LoginEvent,
  Who,
} from '../access/events.ts'
import type { Mark } from './group-commit.ts'
import type { RecordedSession } from './session.ts'

/** Events that `note` writes; a session's opening and closing are the recorder's own. */
export type Noted = LoginEvent | AccessDeniedEvent | AdminEvent | ConfigEvent | AuditReadEvent

export interface Note {
  readonly mark: Mark
  /** `<session>.<number>`, to be shown to whoever was refused; empty where nothing was. */
  readonly record: string
}

/** Writes the event into `session`: the one it opened, or the gateway's own. */
export function note(session: RecordedSession, event: Noted): Note {
  switch (event.type) {
    case 'login': {
      const { act, outcome: out, sub, code, repeated } = event
      const op = out === 'denied' ? session.takeOp() : undefined
      const counted = { ops: repeated?.count, from: repeated?.firstMicros }
      return noted(session, { kind: 'login', act, out, op, sub, code, ...counted }, [
        sealed('who', event.private),
      ])
    }
    case 'access.denied': {
      const { act, sub, target: tgt } = event
      const op = session.takeOp()
      const { reason, lines, ...who } = event.private
      const payloads = [sealed('who', who satisfies Who), sealed('note', { reason, lines })]
      return noted(session, { kind: 'decision', out: 'denied', op, act, sub, tgt }, payloads)
    }
    case 'admin': {
      const { act, sub, outcome: out, about } = event
      return noted(session, { kind: 'admin', act, sub, out, about }, optional(event.private))
    }
    case 'config': {
      const { effective, changes } = event.private
      const payloads = [{ type: 'conf' as const, body: Buffer.from(effective) }, sealed('note', { changes })]
      return noted(session, { kind: 'config', act: event.act }, payloads)
    }
    case 'audit.read': {
      const { act, sub, about, rows } = event
      return noted(session, { kind: 'audit.read', act, sub, about, rows }, optional(event.private))
    }
  }
}

function noted(
  session: RecordedSession,
  saying: Parameters<RecordedSession['append']>[0],
  payloads: readonly Payload[],
): Note {
  const mark = session.append(saying, payloads)
  return { mark, record: saying.op === undefined ? '' : `${session.sid}.${saying.op}` }
}

function sealed(type: PayloadType, value: unknown): Payload {
  return { type, body: Buffer.from(JSON.stringify(value)) }
}

function optional(value: Readonly<Record<string, string>> | undefined): Payload[] {
  return value === undefined ? [] : [sealed('note', value)]
}
