-------------------------------- MODULE Lane --------------------------------
(***************************************************************************)
(* One lane, its dispatchers and its receiver: leases, the cursor, the     *)
(* window, parked deliveries, and processes that crash or freeze anywhere. *)
(* What is left out: how the log is read (test/property/reader.test.ts     *)
(* does that against PostgreSQL) and pauses.                               *)
(***************************************************************************)
EXTENDS Integers, Sequences, FiniteSets, TLC

CONSTANTS
  Holders,    \* dispatchers
  Last,       \* messages are 1 .. Last, in the order of the log
  Key,        \* Key[m]: the key of message m
  Window,     \* messages read and not settled, at most
  MaxEpoch,   \* the lane changes hands so often
  MaxArrivals,\* copies of one message that may reach the receiver (bounds the search)
  Fenced      \* FALSE: commits without a guard

Messages == 1 .. Last
Idle == [epoch |-> 0, cursor |-> 0, flying |-> {}, settled |-> {}, parked |-> {}, known |-> {}]

VARIABLES
  epoch, owner, expired,   \* the lane's row; whether the owner's lease has ended
  cursor, parked,          \* the stored position, and waybill.deliveries
  mind,                    \* mind[h]: what dispatcher h has in memory
  wire,                    \* <<h, epoch, m>>: sent and not yet arrived; a frozen process or network may hold it for long
  received                 \* what the receiver got, in order of arrival

vars == <<epoch, owner, expired, cursor, parked, mind, wire, received>>

None == "nobody"

Init ==
  /\ epoch = 0 /\ owner = None /\ expired = TRUE
  /\ cursor = 0 /\ parked = {}
  /\ mind = [h \in Holders |-> Idle]
  /\ wire = {}
  /\ received = <<>>

(* A taker has seen no renewal for a whole lease. *)
Take(h) ==
  /\ expired /\ epoch < MaxEpoch
  /\ epoch' = epoch + 1 /\ owner' = h /\ expired' = FALSE
  /\ mind' = [mind EXCEPT ![h] =
       [epoch |-> epoch + 1, cursor |-> cursor, flying |-> {}, settled |-> {}, parked |-> parked, known |-> parked]]
  /\ UNCHANGED <<cursor, parked, wire, received>>

(* The owner is slow, frozen or gone. It may not know yet. *)
Expire ==
  /\ ~expired
  /\ expired' = TRUE
  /\ UNCHANGED <<epoch, owner, cursor, parked, mind, wire, received>>

(* It looked at its lease before the send. The send itself may take any time: see Arrive. *)
HasLease(h) == mind[h].epoch > 0 /\ mind[h].epoch = epoch /\ ~expired

Busy(h, k) == \E x \in mind[h].flying : Key[x] = k
Held(h, k) == \E x \in mind[h].parked : Key[x] = k

Read(h) == {m \in Messages : m > mind[h].cursor /\ m <= mind[h].cursor + Window}

(* The fast path: the first unsettled message of its key, and none of the key parked. *)
Send(h) == \E m \in Read(h) \ (mind[h].flying \cup mind[h].settled \cup mind[h].parked) :
  /\ HasLease(h)
  /\ ~Busy(h, Key[m]) /\ ~Held(h, Key[m])
  /\ \A x \in Read(h) : x < m /\ Key[x] = Key[m] => x \in mind[h].settled
  /\ mind' = [mind EXCEPT ![h].flying = @ \cup {m}]
  /\ wire' = wire \cup {<<h, epoch, m>>}
  /\ UNCHANGED <<epoch, owner, expired, cursor, parked, received>>

(* Its key is held back: it is parked behind the others, and the cursor may pass. *)
Hold(h) == \E m \in Read(h) \ (mind[h].flying \cup mind[h].settled \cup mind[h].parked) :
  /\ HasLease(h)
  /\ Held(h, Key[m])
  /\ \A x \in Read(h) : x < m /\ Key[x] = Key[m] => x \in mind[h].settled \cup mind[h].parked
  /\ mind' = [mind EXCEPT ![h].parked = @ \cup {m}]
  /\ UNCHANGED <<epoch, owner, expired, cursor, parked, wire, received>>

(* The first parked one of its key is tried again. *)
Retry(h) == \E m \in mind[h].parked :
  /\ HasLease(h)
  /\ ~Busy(h, Key[m])
  /\ \A x \in mind[h].parked : Key[x] = Key[m] => x >= m
  /\ mind' = [mind EXCEPT ![h].flying = @ \cup {m}]
  /\ wire' = wire \cup {<<h, epoch, m>>}
  /\ UNCHANGED <<epoch, owner, expired, cursor, parked, received>>

Copies(m) == Cardinality({i \in 1 .. Len(received) : received[i] = m})
Current(h, e) == mind[h].epoch = e

(* It arrives, and the sender hears of it, if it still lives and still is who it was. *)
Arrive == \E s \in wire : LET h == s[1] e == s[2] m == s[3] IN
  /\ Copies(m) < MaxArrivals
  /\ wire' = wire \ {s}
  /\ received' = Append(received, m)
  /\ \/ /\ Current(h, e) \* delivered
        /\ mind' = [mind EXCEPT ![h] =
             [@ EXCEPT !.flying = @ \ {m}, !.settled = @ \cup {m}, !.parked = @ \ {m}]]
     \/ /\ Current(h, e) \* it arrived, and the answer says otherwise: parked
        /\ mind' = [mind EXCEPT ![h] = [@ EXCEPT !.flying = @ \ {m}, !.parked = @ \cup {m}]]
     \/ /\ ~Current(h, e)
        /\ UNCHANGED mind
  /\ UNCHANGED <<epoch, owner, expired, cursor, parked>>

(* It does not arrive, and the sender hears that it failed. *)
Fail == \E s \in wire : LET h == s[1] e == s[2] m == s[3] IN
  /\ wire' = wire \ {s}
  /\ mind' = IF Current(h, e)
             THEN [mind EXCEPT ![h] = [@ EXCEPT !.flying = @ \ {m}, !.parked = @ \cup {m}]]
             ELSE mind
  /\ UNCHANGED <<epoch, owner, expired, cursor, parked, received>>

(* The low-water mark: everything up to it is settled or parked, and nothing before it is in the air. *)
Mark(h) == CHOOSE c \in mind[h].cursor .. Last :
  /\ \A x \in mind[h].cursor + 1 .. c : x \in mind[h].settled \cup mind[h].parked /\ x \in Read(h)
  /\ \/ c = Last
     \/ ~(c + 1 \in mind[h].settled \cup mind[h].parked /\ c + 1 \in Read(h))

(* The position, and the parked rows that have changed since the last commit (`known`), in one transaction, guarded by the
   lane's row. A holder does not know that it is stale: it tries, and the fence decides. What it was told to forget, it
   forgets. *)
Commit(h) ==
  /\ mind[h].epoch > 0
  /\ IF ~Fenced \/ mind[h].epoch = epoch
     THEN /\ cursor' = Mark(h)
          /\ parked' = (parked \ (mind[h].known \ mind[h].parked)) \cup (mind[h].parked \ mind[h].known)
          /\ mind' = [mind EXCEPT ![h] =
               [@ EXCEPT !.cursor = Mark(h), !.settled = {m \in @ : m > Mark(h)}, !.known = mind[h].parked]]
     ELSE /\ mind' = [mind EXCEPT ![h] = Idle]
          /\ UNCHANGED <<cursor, parked>>
  /\ UNCHANGED <<epoch, owner, expired, wire, received>>

(* What was sent may still arrive. *)
Crash(h) ==
  /\ mind[h].epoch > 0
  /\ mind' = [mind EXCEPT ![h] = Idle]
  /\ UNCHANGED <<epoch, owner, expired, cursor, parked, wire, received>>

Next ==
  \/ Expire \/ Arrive \/ Fail
  \/ \E h \in Holders : Take(h) \/ Send(h) \/ Hold(h) \/ Retry(h) \/ Commit(h) \/ Crash(h)

Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(* Two messages of one key, and one of another between them. *)
KeyOf == [m \in Messages |-> IF m = 2 THEN "x" ELSE "k"]
Alike == Permutations(Holders)
(* Bounds of the search: copies in the air. *)
FewInTheAir == Cardinality(wire) <= 2

Got == {received[i] : i \in 1 .. Len(received)}

(* Nothing is lost: what the cursor has passed has arrived, or is written down. *)
NothingLost == \A m \in Messages : m <= cursor => m \in Got \/ m \in parked

First(m) == CHOOSE i \in 1 .. Len(received) : received[i] = m /\ \A j \in 1 .. i - 1 : received[j] /= m

(* First deliveries keep the order of their key. *)
InOrder == \A a, b \in Got : a < b /\ Key[a] = Key[b] => First(a) < First(b)
(* and none arrives before one of its key that has not arrived at all. *)
NoGap == \A a \in Messages, b \in Got : a < b /\ Key[a] = Key[b] => a \in Got

(* The stored position never goes back: what it has passed is not sent again by whoever comes next. *)
CursorForward == [][cursor' >= cursor]_vars
=============================================================================
