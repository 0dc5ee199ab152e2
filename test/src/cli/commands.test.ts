import { expect, test } from 'vitest'
import { program } from '../../../src/cli/commands.ts'
import { exitCodeOf } from '../../../src/cli/exit.ts'
import { OperatorError } from '../../../src/system/operator-error.ts'
import { collectingIo } from '../../support/io.ts'

function run(...words: readonly string[]): { exit: number; err: string; out: string } {
  const io = collectingIo()
  let exit = 0
  try {
    program(io, () => {}).parse(['node', 'gatebook', ...words])
  } catch (error) {
    exit = exitCodeOf(error, io.stderr)
  }
  return { exit, err: io.err(), out: io.out() }
}

test('what is wrong with the words of a command is said once', () => {
  expect(run('verify', '--from', 'x')).toMatchObject({
    exit: 2,
    err: "error: option '--from <record>' argument 'x' is invalid. expected a whole number\n(gatebook verify --help says what it takes)\n",
  })
  expect(run('book', 'erase', '--data', 'x', '--reason', 'y')).toMatchObject({
    exit: 2,
    err: 'name exactly one of --session, --payload and --below\n',
  })
})

test('a command tells its help how it is called, and no default that is nothing', () => {
  expect(run('book', 'erase', '--nope').err).toBe(
    "error: unknown option '--nope'\n(gatebook book erase --help says what it takes)\n",
  )
  const { exit, out } = run('serve', '--help')
  expect([exit, out]).toEqual([0, expect.stringMatching(/--grace .*\(default: 30s\)/s)])
  expect(out).not.toContain('default: false')
})

test('the words of a failure keep their lines and move no cursor', () => {
  const { stderr, err } = collectingIo()
  expect(exitCodeOf(new OperatorError('disk', 'one\u001b[2J\n  two'), stderr)).toBe(1)
  expect(err()).toBe('one␛[2J\n  two\n')
})
