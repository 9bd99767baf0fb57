create table if not exists orders (
  id          uuid        primary key default gen_random_uuid(),
  customer    text        not null,
  sku         text        not null,
  quantity    int         not null check (quantity > 0),
  cents       int         not null check (cents >= 0),
  status      text        not null default 'created' check (status in ('created', 'paid', 'shipped', 'cancelled')),
  version     int         not null default 1,
  created_at  timestamptz not null default now()
);

create table if not exists products (
  sku    text primary key,
  cents  int  not null check (cents > 0),
  stock  int  not null check (stock >= 0)
);

create table if not exists mails (
  message_id  uuid primary key,
  topic       text not null,
  order_id    uuid not null,
  version     int  not null,
  runs        int  not null default 1
);

insert into products (sku, cents, stock)
select 'sku-' || i, 100 * i + 99, 1000000 from generate_series(1, 20) i
on conflict do nothing;
