# libpq through DBD::Pg: prepared statements, COPY by lines, large objects, asynchronous queries, savepoints.
use strict;
use warnings;
use utf8;
use DBI;
use DBD::Pg qw(:pg_types :async);

binmode STDOUT, ':utf8';
my $dbh = DBI->connect('dbi:Pg:application_name=dbd-pg', '', '', { AutoCommit => 1, PrintError => 0, RaiseError => 1 });
sub show { print join(' ', map { defined $_ ? $_ : 'NULL' } @_), "\n" }

my $sth = $dbh->prepare('select ?::int + 1, ?::text, ?::bytea, ?::int[], ?::timestamp');
$sth->bind_param(3, "\x00\x01\xff", { pg_type => PG_BYTEA });
$sth->bind_param(1, 41);
$sth->bind_param(2, 'naïve 😀');
$sth->bind_param(4, [ 1, undef, 3 ]);
$sth->bind_param(5, '2026-01-02 03:04:05.6');
for (1 .. 3) {
    $sth->execute;
    my @row = $sth->fetchrow_array;
    show('types', $row[0], $row[1], unpack('H*', $row[2]), join(',', map { $_ // 'NULL' } @{ $row[3] }), $row[4]);
    $sth->finish;
}
$dbh->do('create temp table pair (n int primary key, t text)');
$dbh->do('copy pair from stdin');
$dbh->pg_putcopydata("$_\trow $_\n") for 1 .. 200;
$dbh->pg_putcopyend;
$dbh->do('copy (select * from pair where n <= 3 order by n) to stdout');
my $line;
show('copied', $line) while $dbh->pg_getcopydata($line) >= 0;
my $insert = $dbh->prepare('insert into pair values (?, ?) returning n');
$insert->execute(1000, undef);
show('returned', $insert->fetchrow_array);
$insert->finish;
$dbh->begin_work;
$dbh->pg_savepoint('s');
eval { $insert->execute(1, 'again') };
show('error', $dbh->state, $dbh->errstr);
$dbh->pg_rollback_to('s');
show('counted', $dbh->selectrow_array('select count(*), sum(n) from pair'));
my $oid = $dbh->pg_lo_creat($dbh->{pg_INV_READ} | $dbh->{pg_INV_WRITE});
my $fd = $dbh->pg_lo_open($oid, $dbh->{pg_INV_WRITE});
show('written', $dbh->pg_lo_write($fd, 'abc' x 10_000, 30_000));
$dbh->pg_lo_lseek($fd, 29_998, 0);
my $buffer = q();
show('read', $dbh->pg_lo_read($fd, $buffer, 10), $buffer);
$dbh->pg_lo_unlink($oid);
$dbh->commit;
$dbh->do('select pg_sleep(60)', { pg_async => PG_ASYNC });
select undef, undef, undef, 0.3;
show('cancelled', $dbh->pg_cancel, $dbh->state);
$dbh->do('listen news');
$dbh->do("notify news, 'hello'");
my $note = $dbh->pg_notifies;
show('notified', $note->[0], $note->[2]);
show('alive', $dbh->ping, $dbh->{pg_server_version} > 0);
$dbh->disconnect;
