-- Envelopes whose body is missing: it was erased, or somebody keeps it back. There are few, and they are asked for at every sync.

CREATE INDEX envelope_bare ON envelope (space_id, log_id, seq)
    WHERE control = 0 AND length(data) = 204 AND substr(data, 105, 4) <> x'00000000';
