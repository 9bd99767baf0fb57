create table if not exists orders (
  id uuid primary key default gen_random_uuid(),
  customer text not null,
  cents int not null check (cents > 0),
  paid boolean not null default false
);
