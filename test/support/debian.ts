import { spawnSync } from 'node:child_process'

/** What the tests run against, by Debian package. A missing one is installed when root, else it is an error. */
const PACKAGES: readonly string[] = [
  'chromium',
  'dropbear-bin',
  'fonts-dejavu-core',
  'git',
  'mariadb-client',
  'mariadb-server',
  'openssh-client',
  'openssh-server',
  'openssl',
  'postgresql',
  'postgresql-client',
  'putty-tools',
  'python3-asyncssh',
  'python3-paramiko',
  'rsync',
  'strace',
]

function missing(): string[] {
  return PACKAGES.filter((name) => {
    const { stdout } = spawnSync('dpkg-query', ['-W', '-f', '$' + '{db:Status-Status}', name])
    return stdout?.toString() !== 'installed'
  })
}

/** Ends the process with the exact list when something cannot be had: a skipped test is not a passed one. */
export function ensureDebianPackages(): void {
  const wanted = missing()
  if (wanted.length === 0) return
  const command = `apt-get install -y --no-install-recommends ${wanted.join(' ')}`
  if (process.getuid?.() === 0) {
    process.stdout.write(`installing for the tests: ${wanted.join(' ')}\n`)
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    spawnSync('sh', ['-c', `apt-get update && ${command}`], { env, stdio: 'inherit' })
    if (missing().length === 0) return
  }
  process.stderr.write(`The tests need these Debian packages:\n  sudo ${command}\n`)
  process.exit(1)
}
