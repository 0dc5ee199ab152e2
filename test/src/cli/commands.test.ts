import { expect, test } from 'vitest'
import { program } from '../../../src/cli/commands.ts'
import { exitCodeOf } from '../../../src/cli/exit.ts'
import { collectingIo } from '../../support/io.ts'

function run(...words: readonly string[]): { exit: number; err: string } {
  const io = collectingIo()
  try {
    program(io, () => {}).parse(['node', 'gatebook', ...words])
  } catch (error) {
    return { exit: exitCodeOf(error, io.stderr), err: io.err() }
  }
  return { exit: 0, err: io.err() }
}

test('what is wrong with the words of a command is said once', () => {
  expect(run('verify', '--from', 'x')).toEqual({
    exit: 2,
    err: "error: option '--from <record>' argument 'x' is invalid. expected a whole number\n(gatebook --help lists what there is)\n",
  })
  expect(run('book', 'erase', '--data', 'x', '--reason', 'y')).toEqual({
    exit: 2,
    err: 'name exactly one of --session, --payload and --below\n',
  })
})
