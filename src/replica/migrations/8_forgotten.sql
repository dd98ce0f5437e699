-- What a person granted at the identity provider does not come back with another one that is given their number.

CREATE TRIGGER users_forgotten AFTER DELETE ON users BEGIN
    DELETE FROM sign_ins WHERE kind = OLD.kind AND number = OLD.number;
    DELETE FROM consents WHERE kind = OLD.kind AND number = OLD.number;
    UPDATE identity_grants SET ended_at = unixepoch()
        WHERE kind = OLD.kind AND number = OLD.number AND ended_at IS NULL;
END;
