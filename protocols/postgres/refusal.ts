/** What a person reads when something is refused: what as the message, why as the detail, next as the hint. */
import type { Refusal } from '../relay.ts'
import { message } from './frames.ts'

const SQLSTATE = {
  access: '28000', // invalid_authorization_specification
  credential: '28P01', // invalid_password
  statement: '42501', // insufficient_privilege
  limit: '57014', // query_canceled
  ended: '57P01', // admin_shutdown
  busy: '53300', // too_many_connections
  recorder: '58030', // io_error
  unsupported: '0A000', // feature_not_supported
  target: '08006', // connection_failure
} as const satisfies Record<Refusal['cause'], string>

/** FATAL ends the connection, ERROR a statement. */
export type Severity = 'FATAL' | 'ERROR'

type Texts = Readonly<Record<'M' | 'D' | 'H', string>>

export function encodeError(severity: Severity, code: string, texts: Texts): Uint8Array {
  return report('E', severity, code, texts)
}

/** For a person who has just logged in. Programs show notices in their own ways, so it is sent to psql only. */
export function encodeNotice(what: string, hint: string): Uint8Array {
  return report('N', 'NOTICE', '00000', { M: what, D: '', H: hint })
}

function report(tag: 'E' | 'N', severity: Severity | 'NOTICE', code: string, texts: Texts): Uint8Array {
  return message(tag, (w) => {
    const field = (letter: string, value: string) => {
      // A NUL would end the field early and let its rest be read as further fields.
      if (value !== '') w.text(letter).text(value.replaceAll('\0', '\ufffd')).uint8(0)
    }
    field('S', severity)
    field('V', severity)
    field('C', code)
    field('M', texts.M)
    field('D', texts.D)
    field('H', texts.H)
    w.uint8(0)
  })
}

/** `record` is the number of the record that says the same, if the refusal does not bring it. */
export function refuse(refusal: Refusal, severity: Severity = 'FATAL', record = refusal.record): Uint8Array {
  const lines = [refusal.next, record === '' ? '' : `Record ${record}.`]
  return encodeError(severity, SQLSTATE[refusal.cause], {
    M: refusal.what,
    D: refusal.why,
    H: lines.filter((line) => line !== '').join('\n'),
  })
}

/** The peer broke the protocol: PostgreSQL's own code and manner for it. */
export function refuseProtocol(problem: string): Uint8Array {
  return encodeError('FATAL', '08P01', { M: problem, D: '', H: '' })
}
