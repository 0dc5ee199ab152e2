import { readlinkSync } from 'node:fs'
import { constants, getPriority } from 'node:os'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { expect, test } from 'vitest'

const priority = fileURLToPath(new URL('../../../src/system/priority.ts', import.meta.url))

test.runIf(process.platform === 'linux')('one thread comes last, and no other of its process', async () => {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads')
     import(${JSON.stringify(priority)}).then(({ comeLast }) => {
       comeLast()
       const thread = require('node:fs').readlinkSync('/proc/thread-self').split('/').at(-1)
       parentPort.postMessage(require('node:os').getPriority(Number(thread)))
     })`,
    { eval: true },
  )
  const found = await new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  expect(found).toBe(constants.priority.PRIORITY_LOW)
  const own = Number(readlinkSync('/proc/thread-self').split('/').at(-1))
  expect(getPriority(own)).not.toBe(constants.priority.PRIORITY_LOW)
})
