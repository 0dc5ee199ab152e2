/** What only the operator can put right. The message says what was being done and what was seen. */
export type OperatorErrorCode =
  /** The configuration cannot be read or contradicts itself. */
  | 'config'
  /** A secret is missing, unreadable or of the wrong form. */
  | 'secret'
  /** The data directory, or what lies in it, cannot be used. */
  | 'disk'
  /** A target cannot be reached, or refuses the gateway. */
  | 'target'
  /** A command was asked for something that does not exist or cannot be done. */
  | 'usage'

export class OperatorError extends Error {
  override readonly name = 'OperatorError'
  readonly code: OperatorErrorCode

  constructor(code: OperatorErrorCode, message: string, options?: ErrorOptions) {
    super(message, options)
    this.code = code
  }
}

/** The words of whatever was thrown, for a message of ours. */
export function wordsOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown)
}

/** Whether it was thrown because a file is not there. */
export function isMissing(thrown: unknown): boolean {
  return thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOENT'
}
