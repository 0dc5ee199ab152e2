/** Who and where to, from the one name that every client can send: `alice~orders-prod`. */

export interface Login {
  readonly user: string
  /** Absent where none is named: then the listener or the grants decide, after the login. */
  readonly target?: string
}

/**
 * Splits at the last `~` whose right side is a configured target; if there is none, the whole is the user. Names
 * of targets hold no `~`, so only the last one can qualify. A name that is no target thus becomes part of a user
 * who does not exist, and fails like a wrong password: names cannot be probed.
 */
export function splitLogin(login: string, targets: { has(name: string): boolean }): Login {
  const at = login.lastIndexOf('~')
  const target = login.slice(at + 1)
  if (at === -1 || !targets.has(target)) return { user: login }
  return { user: login.slice(0, at), target }
}
