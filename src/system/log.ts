/**
 * What the operator should know of the process: one function per event, so that words and members are the same
 * everywhere. This is no audit trail. Who did what stands in the book; names of people and texts of statements
 * never come here.
 */
import { type DestinationStream, pino } from 'pino'

export interface Log {
  started(facts: { readonly release: string; readonly gateway: string }): void
  listening(facts: { readonly listener: string; readonly address: string }): void
  /** The gateway that runs has been asked to end; clients that come now wait. */
  takingOver(facts: { readonly graceMs: number }): void
  stopping(facts: { readonly reason: string }): void
  configLoaded(facts: { readonly file: string; readonly changes: number }): void
  configRefused(facts: { readonly file: string; readonly faults: readonly string[] }): void
  targetFailed(facts: { readonly target: string; readonly error: unknown }): void
  connectionFailed(facts: { readonly listener: string; readonly error: unknown }): void
  recordingSuspended(facts: { readonly why: string; readonly error: unknown }): void
  recordingResumed(): void
  /** Said again and again while the operator's `on_failure: continue` lets work pass. */
  passingUnrecorded(facts: { readonly operations: number; readonly error: unknown }): void
  /** A fault of ours: the connection it happened in is closed, the process goes on. */
  unexpected(error: unknown): void
}

export type LogLevel = 'debug' | 'info' | 'warn' | 'error' | 'silent'

export function createLog(level: LogLevel, destination: DestinationStream): Log {
  const out = pino({ level, base: null, timestamp: pino.stdTimeFunctions.isoTime }, destination)
  const withError = ({ error, ...facts }: { readonly error: unknown }) => ({ ...facts, err: error })
  return {
    started: (facts) => out.info(facts, 'started'),
    listening: (facts) => out.info(facts, 'listening'),
    takingOver: (facts) => out.info(facts, 'waiting for the running gateway to end'),
    stopping: (facts) => out.info(facts, 'stopping'),
    configLoaded: (facts) => out.info(facts, 'configuration loaded'),
    configRefused: (facts) => out.error(facts, 'configuration refused, the old one stays in force'),
    targetFailed: (facts) => out.warn(withError(facts), 'target failed'),
    connectionFailed: (facts) => out.debug(withError(facts), 'connection failed'),
    recordingSuspended: (facts) => out.error(withError(facts), 'cannot record, so nothing new is let in'),
    passingUnrecorded: (facts) =>
      out.error(withError(facts), 'work passes unrecorded; restart to record again'),
    recordingResumed: () => out.info('recording again'),
    unexpected: (error) => out.error(withError({ error }), 'unexpected fault'),
  }
}
