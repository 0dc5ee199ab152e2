#!/usr/bin/env node
/** argv in, exit code out. What an error means for the caller is decided here and nowhere else. */
import './require-node.mjs'
import './system/compiler.ts'
import { program } from './cli/commands.ts'
import { exitCodeOf } from './cli/exit.ts'

const io = { stdout: process.stdout, stderr: process.stderr }

async function main(): Promise<number> {
  let exit: Promise<number> = Promise.resolve(0)
  try {
    program(io, (running) => {
      exit = running
    }).parse()
    return await exit
  } catch (error) {
    return exitCodeOf(error, io.stderr)
  }
}

// A reader who has seen enough (`| head`) ends the command as ^C does, which some take to put things in order.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error
  process.kill(process.pid, 'SIGINT')
})

// Nothing is left to do when a command ends, but threads and sockets of libraries may linger.
process.exit(await main())
