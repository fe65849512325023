function [values, places] = maxk (x, k)
% The k largest elements of a vector, in order.
    [values, places] = sort (x, 'descend');
    k = min (k, numel (x));
    values = values(1:k);
    places = places(1:k);
end
