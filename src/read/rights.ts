/**
 * What somebody may read of the book. Whoever has none reads their own sessions, and nothing else. Rights bind what
 * may be searched by, counted and completed as well as what is shown: nobody learns by searching what they may not see.
 */

/** Names of targets, with `*` as wildcard. */
export type Targets = readonly string[]

export interface Rights {
  /** Everything, of targets that are gone too, and the gateway's own records: logins, configuration, tokens. */
  readonly all: boolean
  /** Of these: who did something where and when, with what outcome; not what. */
  readonly metadata: Targets
  /** Of these: statements, commands, paths, parameters. */
  readonly content: Targets
  /** Of these: what terminals and programs showed. */
  readonly replay: Targets
  /** May check the whole book and take its checkpoints. */
  readonly verify: boolean
  /** May end sessions of others. */
  readonly end: boolean
  /** Targets that are opened for a reason only. */
  readonly sensitive: Targets
}

export const OWN_SESSIONS_ONLY: Rights = {
  all: false,
  metadata: [],
  content: [],
  replay: [],
  verify: false,
  end: false,
  sensitive: [],
}
