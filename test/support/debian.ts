import { spawnSync } from 'node:child_process'

/** What the tests run against, by Debian package. A missing one is installed when root, else it is an error. */
const PACKAGES: readonly string[] = [
  'ansible-core',
  'chromium',
  'default-jdk-headless',
  'dropbear-bin',
  'fonts-dejavu-core',
  'git',
  'less',
  'libdbd-mariadb-perl',
  'libdbd-pg-perl',
  'libmariadb-java',
  'libpostgresql-jdbc-java',
  'mariadb-client',
  'mariadb-server',
  'openssh-client',
  'openssh-server',
  'openssl',
  'postgresql',
  'postgresql-client',
  'putty-tools',
  'python3-asyncpg',
  'python3-asyncssh',
  'python3-paramiko',
  'python3-psycopg',
  'python3-psycopg2',
  'python3-pymysql',
  'rsync',
  'sshfs',
  'strace',
  'tmux',
  'vim-tiny',
  'zsh',
]

function missing(packages: readonly string[]): string[] {
  return packages.filter((name) => {
    const { stdout } = spawnSync('dpkg-query', ['-W', '-f', '$' + '{db:Status-Status}', name])
    return stdout?.toString() !== 'installed'
  })
}

/** Ends the process with the exact list when something cannot be had: a skipped test is not a passed one. */
export function ensureDebianPackages(packages = PACKAGES): void {
  const wanted = missing(packages)
  if (wanted.length === 0) return
  const command = `apt-get install -y --no-install-recommends ${wanted.join(' ')}`
  if (process.getuid?.() === 0) {
    process.stdout.write(`installing: ${wanted.join(' ')}\n`)
    const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
    spawnSync('sh', ['-c', `apt-get update && ${command}`], { env, stdio: 'inherit' })
    if (missing(packages).length === 0) return
  }
  process.stderr.write(`These Debian packages are needed:\n  sudo ${command}\n`)
  process.exit(1)
}
