/** PostgreSQL, protocols 3.0 and 3.2: all that the gateway may use of this folder. */
export { type AcceptOptions, type AcceptQuestion, accept, type Login } from './accept.ts'
export type { Fields } from './backend.ts'
export { type CancelOptions, cancel } from './cancel.ts'
export {
  type ConnectFailure,
  type ConnectOptions,
  type ConnectQuestion,
  connect,
  type Ready,
} from './connect.ts'
export { encodeError, encodeNotice, refuse, type Severity } from './refusal.ts'
export { type PostgresRelay, relay } from './relay.ts'
export { makeVerifier, saltPassword, VERIFIERS_MAX, type Verifier, type Verifiers } from './scram.ts'
export type { RelayOptions } from './session.ts'
export { type Settings, startupSettings } from './settings.ts'
export { SqlReader } from './sql.ts'
export { maskSql } from './sql-text.ts'
export { type CancelRequest, encodeCancel, PROTOCOL_3_0, PROTOCOL_3_2 } from './startup.ts'
