create table if not exists orders (
  id          uuid        primary key default gen_random_uuid(),
  customer    text        not null,
  cents       int         not null check (cents > 0),
  status      text        not null default 'created' check (status in ('created', 'cancelled')),
  created_at  timestamptz not null default now()
);

create table if not exists mails (
  message_id  uuid primary key,
  order_id    uuid not null references orders,
  subject     text not null
);
