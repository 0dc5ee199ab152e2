/** Does once what src/system/durable.ts does, in the folder argv[2], each between two lines on stdout. */
import { join } from 'node:path'
import {
  overwrite,
  PlacedFile,
  preallocate,
  removeFileDurably,
  removeFileLater,
  writeFileDurably,
  writeFileLater,
} from '../../../src/system/durable.ts'

const [, , folder = ''] = process.argv
const steps: Record<string, () => unknown> = {
  write: () => writeFileDurably(join(folder, 'written'), 'text'),
  writeLater: () => writeFileLater(join(folder, 'later'), 'text'),
  preallocate: () => preallocate(join(folder, 'placed'), 1024),
  place: () =>
    new Promise((resolve) => {
      const file = new PlacedFile(join(folder, 'placed'))
      file.write(Buffer.from('abc'), 512)
      file.sync(resolve)
    }),
  overwrite: () => overwrite(join(folder, 'placed')),
  remove: () => removeFileDurably(join(folder, 'written')),
  removeLater: () => removeFileLater(join(folder, 'later')),
}
for (const [name, step] of Object.entries(steps)) {
  process.stdout.write(`begin ${name}\n`)
  await step()
  process.stdout.write(`end ${name}\n`)
}
