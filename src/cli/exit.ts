/** 0 ok · 1 error · 2 usage · 3 denied · 4 the book's integrity is broken · 5 drift, or evidence that is missing. */
import { CommanderError } from 'commander'
import { NoGatewayError } from '../control/client.ts'
import { OperatorError, wordsOf } from '../system/operator-error.ts'
import { EXIT, type Io, visible } from './io.ts'

/** Says what went wrong, in words where it is the operator's to mend, with its stack where it is ours. */
export function exitCodeOf(error: unknown, stderr: Io['stderr']): number {
  if (error instanceof CommanderError) {
    // commander has said what it had to say, but for what a command of ours threw; help and version are no errors.
    const isSaid = error.code !== 'commander.invalidArgument' || error.message.startsWith('error: ')
    if (!isSaid) stderr.write(`error: ${error.message}\n`)
    return error.exitCode === 0 ? 0 : 2
  }
  if (error instanceof OperatorError) {
    for (const line of error.message.split('\n')) stderr.write(`${visible(line)}\n`)
    return error.code === 'usage' ? EXIT.usage : EXIT.error
  }
  if (error instanceof NoGatewayError) {
    stderr.write(`${error.message}; \`gatebook serve\` starts one\n`)
    return 1
  }
  const isPlain = error instanceof Error && 'code' in error
  stderr.write(
    isPlain || !(error instanceof Error) ? `${wordsOf(error)}\n` : `${error.stack ?? error.message}\n`,
  )
  return 1
}
