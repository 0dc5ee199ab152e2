/** OpenSSH through the whole gateway to Debian's sshd, and what its book says of it. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sshThrough, startSshGateway } from '../../support/ssh-gateway.ts'
import { type Sshd, startSshd } from '../../support/ssh-sshd.ts'

let sshd: Sshd

beforeAll(async () => {
  sshd = await startSshd()
})

afterAll(() => sshd.stop())

test('a command runs, and stands in the book', async () => {
  await using gateway = await startSshGateway(sshd)
  const { code, out, err } = await sshThrough(sshd, gateway, ['cat; echo more >&2; exit 7'], {
    input: 'hello\n',
  })
  expect([code, out.toString(), err]).toEqual([7, 'hello\n', 'more\n'])
  const { sessions } = await gateway.finish()
  expect(sessions).toMatchObject([
    { act: 'ssh', target: 'web', why: 'client', operations: [{ act: 'ssh.exec', out: 'error', code: '7' }] },
  ])
})
