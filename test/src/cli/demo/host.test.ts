import ssh2 from 'ssh2'
import { expect, test } from 'vitest'
import { newKeyPair } from '../../../../src/cli/demo/host.ts'

/** Of so many that ssh2 makes, some cannot be read, as good as always. */
const KEYS = 1500

test('every key that the host of the demo is started with can be read', () => {
  const unreadable = Array.from({ length: KEYS }, newKeyPair).filter(
    (pair) => ssh2.utils.parseKey(pair.private) instanceof Error,
  )

  expect(unreadable).toEqual([])
})
