create table if not exists orders (
  id        uuid primary key default gen_random_uuid(),
  customer  text not null,
  cents     int  not null check (cents > 0),
  status    text not null default 'created' check (status in ('created', 'paid'))
);

create table if not exists payments (
  id        bigint generated always as identity primary key,
  order_id  uuid not null references orders,
  cents     int  not null
);
