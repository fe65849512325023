function s = posixtime (t)
% Seconds, of which EXTRACT takes differences only.
    s = time ();
end
