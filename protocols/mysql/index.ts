/** MySQL and MariaDB: all that the gateway may use of this folder. */
export { type AcceptOptions, accept, type Login } from './accept.ts'
export { makeVerifier, type Verifier } from './auth.ts'
export type { Capabilities } from './capabilities.ts'
export { type ConnectFailure, type ConnectOptions, connect, type Ready } from './connect.ts'
export type { Attribute, Greeting } from './handshake.ts'
export type { Credential } from './log-in.ts'
export { type Method, type Question, VERIFIERS_MAX } from './prove.ts'
export { refuse } from './refusals.ts'
export { type MysqlRelay, relay } from './relay.ts'
export type { RelayOptions } from './session.ts'
export { type Facts, readText } from './sql/facts.ts'

/** Ends a connection of the gateway's own to a target, such as one that only fetched its greeting. */
export const QUIT = Uint8Array.of(1, 0, 0, 0, 1)
