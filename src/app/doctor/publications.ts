import { type Check, ok, warn } from './finding.js'

/**
 * Publications (logical replication, a vendor's change data capture) that hold tables which rows are deleted from, and that
 * have no replica identity: PostgreSQL refuses the deletes.
 */
export const publicationsCheck: Check = {
  name: 'publications',
  needsSchema: true,
  async run({ pool }) {
    const { rows } = await pool.query<{ publication: string; whole: boolean; tables: string[] }>(publicationsSql)
    if (rows.length === 0) return [ok('no publication keeps rows from being deleted')]
    return rows.map(({ publication, whole, tables }) =>
      warn(
        `publication "${publication}"${whole ? ' (for all tables)' : ''} holds ${tables.join(', ')}, which ${tables.length === 1 ? 'has' : 'have'} no replica identity`,
        'rows there cannot be deleted while it is so (SQLSTATE 55000): a small log is never trimmed, and maintenance says so',
        `drop it when the move is done; or let it publish inserts alone: alter publication "${publication}" set (publish = 'insert, truncate'); or take Waybill's tables out of it`,
      ),
    )
  },
}

/** Partitions are shown by publications as themselves; they are told of by their parent. */
const publicationsSql = `select p.pubname as publication, p.puballtables as whole,
    array_agg(distinct coalesce(parent.relname, c.relname)::text order by coalesce(parent.relname, c.relname)::text) as tables
  from pg_publication p
  join pg_publication_tables t on t.pubname = p.pubname and t.schemaname = 'waybill'
  join pg_class c on c.relname = t.tablename and c.relnamespace = 'waybill'::regnamespace
  left join pg_inherits i on i.inhrelid = c.oid
  left join pg_class parent on parent.oid = i.inhparent
 where (p.pubdelete or p.pubupdate)
   and (c.relreplident = 'n'
        or c.relreplident = 'd' and not exists (select from pg_index x where x.indrelid = c.oid and x.indisprimary))
 group by p.pubname, p.puballtables order by 1`
